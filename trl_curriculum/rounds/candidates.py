"""Stages that leave candidates: written by generators, or given."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from ..disk.atomic import atomic_write
from ..disk.fingerprint import fingerprint
from ..generators import Batch, Candidate, GeneratorMethod, remove_duplicates, save
from ..rewards.answers import normalized
from .joined import PLACES
from .model import Model
from .selection import SelectionSettings
from .stage import IGNORED, RecordedBy, Report, Stage


FILE = "candidates.parquet"  # what each of these stages leaves in its folder


@dataclass(frozen=True)
class Generate(Stage):
    """
    Has generators write candidates: `candidates.parquet`, and `rejected.jsonl` with the reasons.

    Args:
        student ([`Model`]):
            As it is at the start of the round.
        candidates (`int`):
            How many candidates are wanted.
        near_duplicates (`float`):
            Word overlap above which a candidate repeats another, an example or a held-out row.
        examples, held_out (`list[Candidate]`):
            What generators are shown, and what no candidate may repeat.
        seed (`int`):
            Of the generators.
        generators (`Sequence[GeneratorMethod]`):
            Where candidates come from. The next one is made when the one before is done, so that one model is in
            memory at a time.
        depends_on (`list`):
            Plain values that tell these generators from others, see [`~GeneratorMethod.depends_on`].
        disable_tqdm (`bool`):
            Whether to show no progress bars.
    """

    main_process_only = True
    student: Model
    candidates: int
    near_duplicates: float
    examples: list[Candidate]
    held_out: list[Candidate]
    seed: int
    generators: Annotated[Sequence[GeneratorMethod], IGNORED]
    depends_on: list[Any]
    disable_tqdm: Annotated[bool, IGNORED]

    def run(self, folder: Path) -> Report:
        made = Batch([], [])
        messages = not isinstance(self.examples[0].prompt, str)
        for number, method in enumerate(self.generators):
            n = max(1, round(method.share * self.candidates))
            generator = method.make(self.student, self.examples)
            batch = generator.generate(n, self.seed, folder / f"generator-{number}", self.disable_tqdm)
            if any(isinstance(one.prompt, str) == messages for one in batch.accepted):
                raise ValueError(
                    f"Generator {number} writes {'texts' if messages else 'messages'}, and the trusted examples "
                    f"are {'messages' if messages else 'texts'}: set its `conversational` to {messages}, or give it "
                    "other rows."
                )
            made = made + batch
            del generator  # with its model, before the next comes
        made = remove_duplicates(made, self.examples, self.held_out, self.near_duplicates)
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(made.rejected)} that were written ({made.counts()}).")
        return _save(made, folder)


@dataclass(frozen=True)
class Clean(Stage):
    """
    Takes given candidates without those that repeat a target's question.

    Args:
        candidates, targets (`list[Candidate]`):
            The pool, and trusted rows.
        near_duplicates (`float`, *optional*):
            Word overlap above which a question repeats another's or a target's. Default: a candidate's question may
            come again, and must not be a target's, word for word.
        selection ([`SelectionSettings`]):
            How many are kept later on: more than are left is refused here.
        place (`list[int]`, *optional*):
            Place of each candidate in the user's pool. Default: as they are given.
    """

    main_process_only = True
    candidates: list[Candidate]
    targets: list[Candidate]
    near_duplicates: float | None
    selection: Annotated[SelectionSettings, IGNORED]
    place: Annotated[list[int] | None, RecordedBy(lambda place: place and fingerprint([np.array(place)]))] = None

    def run(self, folder: Path) -> Report:
        made = Batch(self.candidates, [])
        if self.near_duplicates is not None:
            made = remove_duplicates(made, (), self.targets, self.near_duplicates)
        else:
            held_out = {normalized(one.question) for one in self.targets}
            same = [k for k, one in enumerate(self.candidates) if normalized(one.question) in held_out]
            made = made.without("leakage", dict.fromkeys(same, ("question of a target", "")))
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(self.candidates)} ({made.counts()}).")
        self.selection.n_kept(len(made.accepted))
        places = self.place or range(len(self.candidates))
        place = {id(one): k for k, one in zip(places, self.candidates, strict=True)}
        with atomic_write(folder / PLACES) as draft, open(draft, "wb") as file:
            np.save(file, np.array([place[id(one)] for one in made.accepted], np.int64))
        return _save(made, folder)


def _save(made: Batch, folder: Path) -> Report:
    save(made.accepted, folder / FILE)
    save(made.rejected, folder / "rejected.jsonl")
    return made.report()
