"""Selection alone, on rows that are there: what one round of `evolve` does between its candidates and its training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..generators import Batch, Candidate, load, remove_duplicates, save
from ..probes.partial import fingerprint
from ..selection.rows import SelectionSettings, select_candidates
from .proxy import Proxy, load_proxy, proxy_features, warm_up
from .rounds import print_made, print_seconds, print_selection
from .stages import Stages


STAGES = ("candidates", "proxy", "features", "selection")
LEAST = 32  # rows to warm up on


class FileSelection:
    """
    Stages of a selection, in folders of `args.output_dir`: candidates, proxy, features, selection.

    Args:
        candidates, targets (`Sequence[Candidate]`):
            The pool, and trusted rows of the target task; `source` names where a candidate comes from and which
            subtask a target belongs to.
        examples (`Sequence[Candidate]`, *optional*):
            What the proxy is warmed up on. Default: a twentieth of the candidates (as LESS), 32 at least (ours).
        settings ([`~trl_curriculum.selection.rows.SelectionSettings`]):
            How candidates are selected.
        proxy ([`Proxy`]):
            Whose gradients they are compared by; its `model` must be given.
        args ([`~trl.SFTConfig`]):
            Output folder, devices, precision and seed.
        near_duplicates (`float`, *optional*, defaults to `0.7`):
            Word overlap (Jaccard, trigrams) above which a candidate repeats another or a target.
        model_kwargs (`dict`, *optional*):
            For `from_pretrained`.
    """

    def __init__(
        self,
        candidates: Sequence[Candidate],
        targets: Sequence[Candidate],
        examples: Sequence[Candidate] | None,
        settings: SelectionSettings,
        proxy: Proxy,
        args: Any,
        near_duplicates: float = 0.7,
        model_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if proxy.model is None:
            raise ValueError("Selecting needs a model whose gradients are compared: set the proxy's `model`.")
        self.candidates, self.targets, self.examples = candidates, targets, examples
        self.settings, self.proxy, self.args = settings, proxy, args
        self.near_duplicates, self.model_kwargs = near_duplicates, model_kwargs or {}
        rows = [[dataclasses.astuple(one) for one in part or ()] for part in (candidates, targets, examples)]
        self.stages = Stages(
            Path(str(args.output_dir)),
            {
                "selection": dataclasses.asdict(settings),
                "proxy": dataclasses.asdict(proxy),
                "near_duplicates": near_duplicates,
                "seed": args.seed,
                "rows": fingerprint(rows),
            },
        )

    def run(self) -> list[Candidate]:
        """Runs what is left of the stages; returns the rows that are kept, the most wanted first."""
        written = self._stage("candidates", self._distinct, alone=True)
        rows = load(written / "candidates.parquet")
        proxy = self.proxy, lambda: load_proxy(str(self.proxy.model), self.model_kwargs, self.stages.state.device)
        adapter = self._stage("proxy", lambda folder: warm_up(*proxy, self._some(rows), self.args, folder))
        features = self._stage(
            "features",
            lambda folder: proxy_features(*proxy, adapter, rows, self.targets, self.settings, self.args, folder),
        )
        selection = self._stage(
            "selection",
            lambda folder: select_candidates(rows, self.targets, features, self.settings, folder),
            alone=True,
        )
        if self.stages.state.is_main_process:
            told = {name: self.stages.told(self.stages.folder / name) for name in STAGES}
            print_made([told])
            print_selection([told])
            print_seconds([told])
        return load(selection / "selected.parquet")

    def _stage(self, name: str, make: Any, alone: bool = False) -> Path:
        self.stages.run(self.stages.folder / name, make, alone)
        return self.stages.folder / name

    def _distinct(self, folder: Path) -> dict[str, Any]:
        made = remove_duplicates(Batch(list(self.candidates), []), (), self.targets, self.near_duplicates)
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(self.candidates)} ({made.counts()}).")
        save(made.accepted, folder / "candidates.parquet")
        save(made.rejected, folder / "rejected.jsonl")
        return made.report()

    def _some(self, rows: Sequence[Candidate]) -> Sequence[Candidate]:
        """What the proxy is warmed up on."""
        if self.examples is not None:
            return self.examples
        n = min(max(LEAST, len(rows) // 20), len(rows))
        return [rows[k] for k in np.sort(np.random.default_rng(self.args.seed).choice(len(rows), n, replace=False))]
