"""Selection of rows: stages that are the middle of a round of `evolve`, and that run alone on files."""

import dataclasses
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..disk.main_process import LONGEST
from ..generators import Candidate
from ..report.rounds import print_made, print_seconds, print_selection
from .candidates import FILE, Clean
from .loop import run_stages
from .model import Model
from .proxy import Features, Proxy, WarmUp
from .rows import usable_candidates
from .selection import Select, SelectionSettings
from .stage import Stage


def selection_stages(
    folder: Callable[[str], Path],
    targets: list[Candidate],
    examples: list[Candidate] | None,
    earlier: list[Path],
    selection: SelectionSettings,
    proxy: Proxy,
    model: Model,
    args: Any,
) -> dict[str, Stage]:
    """
    Stages from candidates to those that are kept: a warmed-up proxy, features, selection.

    Args:
        folder (`Callable`):
            Takes the name of a stage, returns its folder; that of `candidates` has them.
        targets (`list[Candidate]`):
            What they are selected for.
        examples (`list[Candidate]`, *optional*), earlier (`list[Path]`):
            Rows and files of rows that the proxy is warmed up on, see [`WarmUp`].
        selection, proxy, model, args:
            How, by what model, and the arguments of training whose precision, seed and `max_length` hold.
    """
    max_length, candidates = getattr(args, "max_length", None), folder("candidates") / FILE
    return {
        "proxy": WarmUp(model, proxy, candidates, examples, earlier, max_length, args.seed, args),
        "features": Features(
            model, proxy, folder("proxy"), candidates, targets, max_length, selection.features, bool(args.disable_tqdm)
        ),
        "selection": Select(candidates, targets, folder("features"), selection),
    }


class FileSelection:
    """
    Stages of a selection, in folders of `args.output_dir`: candidates, proxy, features, and one named by the method.
    So several methods share the features.

    Args:
        candidates, targets (`list[Candidate]`):
            The pool, and trusted rows of the target task; `source` names where a candidate comes from and which
            subtask a target belongs to. Candidates with the question of a target are removed and counted.
        examples (`list[Candidate]`, *optional*):
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
        unusable_rows (`str`, *optional*, defaults to `"refuse"`):
            What to do with rows that cannot be encoded or that the chat template refuses: `"refuse"` them, or
            `"leave_out"`, with a warning.
        own (`list[dict]`, *optional*):
            The rows of the pool with all their columns: `selected.parquet` then has these columns too.
            [`~trl_curriculum.data.load.load_rows`] reads them.
        place (`list[int]`, *optional*):
            Place of each candidate in the pool, where some of its rows are no candidates.

    Raises:
        `ValueError`: where no model is given, or `own` and the places do not fit the candidates.
    """

    def __init__(
        self,
        candidates: list[Candidate],
        targets: list[Candidate],
        examples: list[Candidate] | None,
        settings: SelectionSettings,
        proxy: Proxy,
        args: Any,
        near_duplicates: float | None = None,
        model_kwargs: dict[str, Any] | None = None,
        unusable_rows: str = "refuse",
        own: list[dict[str, Any]] | None = None,
        place: list[int] | None = None,
    ) -> None:
        place = list(range(len(candidates))) if place is None else place
        if len(place) != len(candidates) or (own is not None and max(place, default=-1) >= len(own)):
            raise ValueError(
                f"There are {len(candidates)} candidates with {len(place)} places in a pool of {len(own or place)} "
                "rows: give a place for each, and a row for each place."
            )
        if proxy.model is None:
            raise ValueError("Selecting needs a model whose gradients are compared: set the proxy's `model`.")
        proxy.check(settings.features)
        self.settings, self.args, self.output = settings, args, Path(str(args.output_dir))
        model = Model.of(proxy.model, model_kwargs)
        tokens, how = model.tokenizer, (unusable_rows, args.process_index == 0)
        usable = usable_candidates(candidates, tokens, "the candidates", *how, place)
        left = set(map(id, usable))
        place = [k for k, one in zip(place, candidates, strict=True) if id(one) in left]
        targets = usable_candidates(targets, tokens, "the targets", *how)
        examples = examples and usable_candidates(examples, tokens, "the examples", *how)
        stages = selection_stages(self.output.joinpath, targets, examples, [], settings, proxy, model, args)
        select = dataclasses.replace(stages.pop("selection"), own=own)  # type: ignore[call-arg]
        self.stages = {
            "candidates": Clean(usable, targets, near_duplicates, settings, place),
            **stages,
            settings.method.name: select,
        }

    def run(self) -> Path:
        """Runs what is left of the stages; returns the folder with `selected.parquet` and `selection.json`."""
        reports = run_stages(self.stages, self.output, max(LONGEST, timedelta(seconds=self.args.ddp_timeout)))
        if self.args.process_index == 0:
            reports["selection"] = reports.pop(self.settings.method.name)
            print_made([reports])
            print_selection([reports])
            print_seconds([reports])
        return self.output / self.settings.method.name
