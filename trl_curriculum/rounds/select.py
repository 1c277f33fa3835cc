"""Selection alone, on rows that are there: what one round of `evolve` does between its candidates and its training."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..disk.fingerprint import fingerprint, weights_key
from ..disk.stages import Stages
from ..generators import Batch, Candidate, load, remove_duplicates, save
from ..report.rounds import print_made, print_seconds, print_selection
from ..rewards.answers import normalized
from .proxy import Proxy, load_proxy, proxy_features, warm_up
from .selection import SelectionSettings, select_candidates


LEAST = 32  # rows to warm up on


class FileSelection:
    """
    Stages of a selection, in folders of `args.output_dir`: candidates, proxy, features, and one named by the method.
    So several methods share the features.

    Args:
        candidates, targets (`Sequence[Candidate]`):
            The pool, and trusted rows of the target task; `source` names where a candidate comes from and which
            subtask a target belongs to. Candidates with the question of a target are removed and counted.
        examples (`Sequence[Candidate]`, *optional*):
            What the proxy is warmed up on. Default: a twentieth of the candidates (as LESS), 32 at least (ours).
        settings ([`~trl_curriculum.rounds.selection.SelectionSettings`]):
            How candidates are selected.
        proxy ([`Proxy`]):
            Whose gradients they are compared by; its `model` must be given.
        args ([`~trl.SFTConfig`]):
            Output folder, precision and seed.
        near_duplicates (`float`, *optional*):
            Word overlap (Jaccard, trigrams) above which a question repeats another or a target's: then it goes.
            Default: off, so that a question may have several answers.
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
        near_duplicates: float | None = None,
        model_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if proxy.model is None:
            raise ValueError("Selecting needs a model whose gradients are compared: set the proxy's `model`.")
        proxy.check(settings)
        self.candidates, self.targets, self.examples = candidates, targets, examples
        self.settings, self.proxy, self.args = settings, proxy, args
        self.near_duplicates, self.model_kwargs = near_duplicates, model_kwargs or {}
        self.stages, self.output = Stages(), Path(str(args.output_dir))
        rows = {
            f"fingerprint of the {name}": fingerprint([dataclasses.astuple(one) for one in part or ()])
            for name, part in (("candidates", candidates), ("targets", targets), ("examples", examples))
        }
        model = {name: str(value) for name, value in self.model_kwargs.items()}
        self.on: dict[str, dict[str, Any]] = {
            "candidates": rows | {"near_duplicates": near_duplicates},
            "proxy": {
                "proxy": dataclasses.asdict(proxy),
                "weights": weights_key(proxy.model),
                "model": model,
                "seed": args.seed,
                "max_length": args.max_length,
            },
            "features": {"selection": settings.of_features()},
            settings.method: {"selection": dataclasses.asdict(settings)},
        }

    def run(self) -> Path:
        """Runs what is left of the stages; returns the folder with `selected.parquet` and `selection.json`."""
        written = self._stage("candidates", self._clean, alone=True)
        rows = load(written / "candidates.parquet")
        proxy = self.proxy, lambda: load_proxy(str(self.proxy.model), self.model_kwargs, self.stages.state.device)
        adapter = self._stage("proxy", lambda folder: warm_up(*proxy, self._some(rows), self.args, folder))
        features = self._stage(
            "features",
            lambda folder: proxy_features(*proxy, adapter, rows, self.targets, self.settings, self.args, folder),
        )
        chosen = self._stage(
            self.settings.method,
            lambda folder: select_candidates(rows, self.targets, features, self.settings, folder),
            alone=True,
        )
        if self.stages.state.is_main_process:
            told = {name: self.stages.told(self.output / name) for name in self.on}
            told["selection"] = told.pop(self.settings.method)
            print_made([told])
            print_selection([told])
            print_seconds([told])
        return chosen

    def _stage(self, name: str, make: Any, alone: bool = False) -> Path:
        self.stages.run(self.output / name, self.on[name], make, alone)
        return self.output / name

    def _clean(self, folder: Path) -> dict[str, Any]:
        made = Batch(list(self.candidates), [])
        if self.near_duplicates is not None:
            made = remove_duplicates(made, (), self.targets, self.near_duplicates)
        else:
            held_out = {normalized(one.question) for one in self.targets}
            same = [k for k, one in enumerate(self.candidates) if normalized(one.question) in held_out]
            made = made.without("leakage", dict.fromkeys(same, ("question of a target", "")))
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(self.candidates)} ({made.counts()}).")
        self.settings.kept_of(len(made.accepted))
        save(made.accepted, folder / "candidates.parquet")
        save(made.rejected, folder / "rejected.jsonl")
        return made.report()

    def _some(self, rows: Sequence[Candidate]) -> Sequence[Candidate]:
        """What the proxy is warmed up on."""
        if self.examples is not None:
            return self.examples
        n = min(max(LEAST, len(rows) // 20), len(rows))
        return [rows[k] for k in np.sort(np.random.default_rng(self.args.seed).choice(len(rows), n, replace=False))]
