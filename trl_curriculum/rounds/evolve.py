"""Generate, select, train, in rounds: a model is adapted to a task of which only a few examples are trusted."""

import copy
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..disk.main_process import LONGEST
from ..generators import Candidate, make_generators
from ..registry import make_options, option
from ..report.rounds import print_rounds, scores_table
from ..rewards.answers import normalized
from ..rewards.functions import reward
from .base import ROUNDS, Job, RoundMethod
from .candidates import Generate
from .evaluate import Evaluate
from .loop import Loop, Round
from .model import Model
from .proxy import Proxy
from .rows import usable_candidates
from .select import selection_stages
from .selection import SELECTED, FeatureSettings, SelectionSettings
from .stage import Stage
from .training import Train, refuse_idle


logger = logging.getLogger(__name__)


@ROUNDS.add("evolve", paper="arXiv 2604.26170")
@dataclass(frozen=True)
class Evolve(RoundMethod):
    """Generate, select, train: candidates are written, those that help the target task are kept and trained on."""

    generates = True
    candidates: int = option(1000, "How many are wanted in each round.", least=1)
    validation_share: float = option(
        0.5, "Share of the examples that is the selection's target; the others are the generators'.", above=0, below=1
    )
    selection: Any = option("evoselect", "Spec of the method that selects among candidates.")
    keep: float = option(0.2, "Share of the candidates that is kept; above 1 their number.", "EvoSelect", above=0)
    distinct: float | None = option(
        None, "Cosine above which a near-duplicate goes before selecting; default: off.", above=0, most=1
    )
    features: dict[str, Any] | None = option(None, "Options of the features that candidates are compared by.")
    proxy: dict[str, Any] | None = option(None, "Options of the model whose gradients these features are.")
    near_duplicates: float = option(
        0.7,
        "Word overlap (Jaccard, trigrams) above which a candidate repeats another, an example or a held-out row.",
        above=0,
        most=1,
    )
    accuracy: str | None = option("exact_match", "Reward that judges the model's answers to held-out rows; or None.")
    max_answer_tokens: int = option(256, "Tokens of such an answer at most.", least=1)

    def check(self) -> None:
        """Refuses what cannot be selected, compared or judged."""
        if self.settings.keep > self.candidates:
            raise ValueError(f"keep={self.keep:g} of the selection is more than the candidates={self.candidates}.")
        self.settings.method.refuse(self.candidates)
        self.warmed_up.check(self.settings.features)
        if self.accuracy is not None:
            reward(self.accuracy)

    @cached_property
    def settings(self) -> SelectionSettings:
        """How candidates are selected."""
        features = make_options(FeatureSettings, self.features or {}, "features")
        return SelectionSettings(self.selection, self.keep, self.distinct, features)

    @cached_property
    def warmed_up(self) -> Proxy:
        """The model whose gradients they are compared by."""
        return make_options(Proxy, self.proxy or {}, "proxy")

    def plan(self) -> str:
        """What a run does, in a few words."""
        chosen = f"{self.settings.method.name} keeps {self.keep:g}"
        return f"{self.rounds} rounds of {self.candidates} candidates, of which {chosen}"

    def refuse_training(self, args: Any) -> None:
        """Refuses a curriculum that could do nothing with the rows that a round keeps."""
        every = self.settings.method.name == "all"
        refuse_idle(args, self.candidates if every else self.settings.n_kept(self.candidates))

    def run(self, job: Job) -> Path:
        """Runs all rounds, or what is left of them; returns the folder of the last round's adapter."""
        evolution = Evolution(self, job)
        evolution.run()
        return evolution.loop.rounds[-1].folder("adapter")


class Evolution:
    """
    Rounds of generate, features, select, train, evaluate. Each stage is a folder; a finished one is never redone, and
    a run that was killed goes on in the middle of the stage that it was in.

    Args:
        method ([`Evolve`]):
            What a round does.
        job ([`Job`]):
            What the rounds work on.

    Source: Li et al. 2026, arXiv 2604.26170 (two rounds of LoRA SFT on 20 % or 50 %; all else is ours).
    """

    def __init__(self, method: Evolve, job: Job) -> None:
        self.method, self.job = method, job
        method.refuse_training(job.args)
        self.generators = make_generators(job.generators)
        self.written_by = [one.depends_on() for one in self.generators]
        self.output = Path(str(job.args.output_dir))
        self.args = copy.copy(job.args)
        self.args.hub_model_id = job.args.hub_model_id or self.output.name  # not that of a stage's folder
        self.student = Model.of(job.student, job.model_kwargs)
        self.proxy = None
        if method.warmed_up.model is not None:
            kept = ("dtype", "attn_implementation")
            self.proxy = Model.of(method.warmed_up.model, {k: v for k, v in job.model_kwargs.items() if k in kept})
        tokens, how = self.student.tokenizer, (job.args.unusable_rows, job.args.process_index == 0)
        examples = usable_candidates(job.examples, tokens, "the trusted examples", *how)
        self.test = usable_candidates(job.test, tokens, "the held-out rows", *how) if job.test else []
        self.seeds, self.validation = self._split(_trusted(examples, self.test))
        longest = max(LONGEST, timedelta(seconds=job.args.ddp_timeout))
        before = {"scores": self._evaluate(self.student)}
        self.loop = Loop(self.stages, method.rounds, self.output, before, longest)

    def _split(self, examples: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        mixed = np.random.default_rng(self.args.seed).permutation(len(examples))
        n = min(max(1, round(self.method.validation_share * len(examples))), len(examples) - 1)
        return [examples[k] for k in mixed[n:]], [examples[k] for k in mixed[:n]]

    def run(self) -> pd.DataFrame:
        """
        Runs all rounds, or what is left of them.

        Returns:
            Scores: `rounds` that were trained, `score` (`loss` or `accuracy`), `task`, `value`.
        """
        before, rounds = self.loop.run()
        table = scores_table([one["scores"] for one in (before, *rounds)])
        if self.args.process_index == 0:
            print_rounds(table, rounds)
        return table

    def stages(self, at: Round) -> dict[str, Stage]:
        """The stages of a round."""
        method, args, test = self.method, self.args, self.test
        adapter = at.earlier[-1].folder("adapter") if at.earlier else None
        student = dataclasses.replace(self.student, adapter=adapter)
        selected = [each.folder("selection") / SELECTED for each in (*at.earlier, at)]
        return {
            "candidates": Generate(
                student,
                method.candidates,
                method.near_duplicates,
                self.seeds,
                [*self.validation, *test],
                args.seed + at.number,
                self.generators,
                self.written_by,
                bool(args.disable_tqdm),
            ),
            **selection_stages(
                at.folder,
                self.validation,
                self.seeds,
                selected[:-1],
                method.settings,
                method.warmed_up,
                self.proxy or student,
                args,
            ),
            "adapter": Train(student, selected[-1], args, self.job.lora, self.job.reward_funcs),
            "scores": self._evaluate(dataclasses.replace(student, adapter=at.folder("adapter"))),
        }

    def _evaluate(self, model: Model) -> Evaluate:
        max_length = getattr(self.args, "max_length", None)
        return Evaluate(model, self.test, self.method.accuracy, self.method.max_answer_tokens, max_length)


def _trusted(examples: Sequence[Candidate], test: Sequence[Candidate]) -> list[Candidate]:
    """Examples with different questions, none of which is a test row's."""
    held_out = {normalized(one.question) for one in test}
    leaked = [one.question for one in examples if normalized(one.question) in held_out]
    if leaked:
        raise ValueError(
            f"{len(leaked)} of {len(examples)} trusted examples are test rows too (the first: {leaked[0][:80]!r}): "
            "take them out of one of the two."
        )
    distinct = list({normalized(one.question): one for one in reversed(examples)}.values())[::-1]
    if len(distinct) < len(examples):
        logger.warning("%d trusted examples repeat a question and are left out.", len(examples) - len(distinct))
    if len(distinct) < 2:
        raise ValueError(
            f"{len(distinct)} trusted examples cannot be split into seeds and validation: give 2 at least."
        )
    return distinct
