"""From candidate rows to the ones that are kept: features, what cannot be used, near-duplicates, selection, report."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ..disk.fingerprint import fingerprint, redact
from ..disk.state import write_json
from ..generators import Candidate, load, save
from ..gradients import CountSketch, GradientFeatures, Rademacher, Stored, read_features, write_features
from ..gradients.capture import Layers
from ..options import check_options
from ..registry import option
from ..selection import SELECTION, Features, distinct
from ..selection.report import report
from ..signals import IntArray
from .stage import IGNORED, RecordedBy, Report, Stage, plain_fields


SELECTED = "selected.parquet"


@dataclass(frozen=True)
class FeatureSettings:
    """What candidates are compared by: projected gradients, see [`GradientFeatures`]."""

    layers: Layers = option("lora", "Whose gradients: of the adapters, the `last` blocks' or `all` blocks' layers.")
    n_last: int = option(4, "Blocks that `last` takes.", least=1)
    projection: Literal["count_sketch", "rademacher"] = option(
        "count_sketch",
        "How: one addition a coordinate, or signs in blocks.",
        "EvoSelect; LESS",
    )
    dimension: int = option(4096, "Of the projected gradients.", least=1, most=2**24)
    seed: int = option(0, "Of the projection.", least=0)
    batch_tokens: Annotated[int, IGNORED] = option(
        8192, "Tokens, padding included, of one batch of gradients.", least=1
    )

    def __post_init__(self) -> None:
        check_options(self, "features")


@dataclass(frozen=True)
class SelectionSettings:
    """
    How candidates are selected.

    Args:
        method (*optional*, defaults to `"evoselect"`):
            The method, a spec of [`~trl_curriculum.selection.SELECTION`].
        keep (`float`, *optional*, defaults to `0.2`):
            Share of the candidates that is kept (the paper: .2 and .5); above 1 their number.
        distinct (`float`, *optional*):
            Cosine above which a candidate is a near-duplicate of an earlier one and goes before selecting (ours; off).
        features ([`FeatureSettings`], *optional*):
            What candidates are compared by.
    """

    method: Annotated[Any, RecordedBy(lambda method: method.spec)] = "evoselect"
    keep: float = option(0.2, above=0, most=2**31)
    distinct: float | None = option(None, above=0, most=1)
    features: FeatureSettings = FeatureSettings()

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", SELECTION.make(self.method))
        check_options(self, "the selection")
        if self.keep > 1 and self.keep != int(self.keep):
            raise ValueError(
                f"keep={self.keep} is no whole number of candidates: give a share below 1, or a whole number."
            )
        if self.keep == 1 and isinstance(self.keep, float):  # as a share or as a number?
            raise ValueError(
                f"keep={self.keep} is neither a share of the candidates below 1 nor a number of them above; the "
                "method 'all' keeps all."
            )

    def n_kept(self, n: int) -> int:
        """How many of n candidates are kept."""
        k = round(self.keep * n) if self.keep < 1 else round(self.keep)
        if k > n:
            raise ValueError(f"keep={self.keep:g} is more than the {n} candidates that can be used.")
        self.method.refuse(n)
        return max(1, k)


def gradient_features(
    folder: Path,
    rows: list[dict[str, list[int]]],
    model: Any,
    settings: FeatureSettings,
    moments: Any = None,
    accelerator: Any = None,
    disable_tqdm: bool = False,
) -> Stored:
    """Features of tokenized rows (`input_ids`, `labels`) in a folder; what is there already is not computed again."""
    make = CountSketch if settings.projection == "count_sketch" else Rademacher
    gradients = GradientFeatures(
        model, make(settings.dimension, settings.seed), settings.layers, settings.n_last, moments
    )
    of = (settings.layers, settings.n_last, settings.projection, settings.dimension, settings.seed, moments is None)
    return write_features(
        folder, rows, gradients, fingerprint((of, rows), model), settings.batch_tokens, accelerator, disable_tqdm
    )


def select_rows(
    candidates: Stored,
    targets: Stored,
    settings: SelectionSettings,
    source: NDArray | None = None,
    task: IntArray | None = None,
) -> tuple[IntArray, dict[str, Any]]:
    """
    Selects among candidates by their features.

    Args:
        candidates, targets ([`Stored`]):
            Features; rows without a direction are left out and counted.
        settings ([`SelectionSettings`]):
            How.
        source (`NDArray`, shape `(n,)`, *optional*):
            Where each candidate comes from.
        task (`IntArray`, shape `(m,)`, *optional*):
            Subtask of each target.

    Returns:
        Positions of the candidates that are kept, most wanted first, each once; and a report of plain values.
    """
    usable, usable_targets = candidates.usable, targets.usable
    for what, good, stored in (("candidates", usable, candidates), ("targets", usable_targets, targets)):
        if len(good) == 0:
            raise ValueError(
                f"None of {len(stored.norm)} {what} has a gradient that is a number other than zero: look at their "
                "labels and at the model."
            )
    every = torch.from_numpy(np.asarray(candidates.features[usable]))
    distant = np.arange(len(usable)) if settings.distinct is None else distinct(every, settings.distinct)
    features = Features(
        every[torch.as_tensor(distant)],
        torch.from_numpy(np.asarray(targets.features[usable_targets])).float(),
        None if task is None else task[usable_targets],
    )
    chosen = settings.method(features, settings.n_kept(len(features)))
    rows = usable[distant]
    found = report(features, chosen, None if source is None else source[rows])
    first = np.sort(np.unique(chosen.row, return_index=True)[1])
    return rows[chosen.row[first]], {
        "method": settings.method.name,
        "candidates": len(candidates.norm),
        "unusable": len(candidates.norm) - len(usable),
        "unusable_targets": len(targets.norm) - len(usable_targets),
        "near_duplicates_dropped": len(usable) - len(distant),
        **found,
    }


@dataclass(frozen=True)
class Select(Stage):
    """
    Selects among candidates by their features; leaves `selected.parquet`, most wanted first, and `selection.json`, the
    report with the settings.

    Args:
        candidates (`Path`), targets (`list[Candidate]`):
            File of the candidates, and rows whose `source` names their subtask.
        features (`Path`):
            Folder of their features.
        selection ([`SelectionSettings`]):
            How.
    """

    main_process_only = True
    candidates: Path
    targets: list[Candidate]
    features: Path
    selection: SelectionSettings

    def run(self, folder: Path) -> Report:
        candidates = load(self.candidates)
        tasks, task = np.unique([one.source for one in self.targets], return_inverse=True)
        kept, report = select_rows(
            read_features(self.features / "candidates"),
            read_features(self.features / "targets"),
            self.selection,
            np.array([one.source for one in candidates]),
            task if len(tasks) > 1 else None,
        )
        save([candidates[k] for k in kept], folder / SELECTED)
        write_json(folder / "selection.json", {"settings": redact(plain_fields(self.selection, folder)), **report})
        return report
