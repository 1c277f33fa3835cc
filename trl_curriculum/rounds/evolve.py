"""Generate, select, train, in rounds: a model is adapted to a task of which only a few examples are trusted."""

import copy
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peft import LoraConfig

from ..disk.main_process import LONGEST
from ..generators import Candidate, make_generators
from ..options import check_options
from ..registry import option
from ..report.rounds import print_rounds, scores_table
from ..rewards.answers import normalized
from ..rewards.functions import RewardFunction, reward
from ..trainers.config import CurriculumGRPOConfig, CurriculumSFTConfig
from .candidates import Generate
from .evaluate import Evaluate
from .loop import Loop, Round
from .model import Model
from .proxy import Proxy
from .select import selection_stages
from .selection import SELECTED, SelectionSettings
from .stage import Stage
from .training import Train


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvolveSettings:
    """
    What a run consists of, besides how its rounds train.

    Args:
        rounds (`int`, *optional*, defaults to `2`):
            The paper's.
        candidates (`int`, *optional*, defaults to `1000`):
            How many are wanted in each round.
        validation_share (`float`, *optional*, defaults to `0.5`):
            Share of the trusted examples that is the selection's target; the others are the generators' examples.
        selection ([`SelectionSettings`]):
            How candidates are selected.
        proxy ([`Proxy`]):
            Whose gradients they are compared by.
        near_duplicates (`float`, *optional*, defaults to `0.7`):
            Word overlap (Jaccard, trigrams) above which a candidate repeats another, an example or a held-out row
            (validation or test).
        accuracy (`str`, *optional*, defaults to `"exact_match"`):
            Name of a reward function that judges the model's most probable answers to held-out rows by their column
            `answer`; `None`: they are not written, and only losses are reported.
        max_answer_tokens (`int`, *optional*, defaults to `256`):
            Tokens of such an answer at most.
    """

    rounds: int = option(2, least=1)
    candidates: int = option(1000, least=1)
    validation_share: float = option(0.5, above=0, below=1)
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    proxy: Proxy = field(default_factory=Proxy)
    near_duplicates: float = option(0.7, above=0, most=1)
    accuracy: str | None = "exact_match"
    max_answer_tokens: int = option(256, least=1)

    def __post_init__(self) -> None:
        check_options(self, "the rounds")
        if self.selection.keep > self.candidates:
            raise ValueError(
                f"keep={self.selection.keep:g} of the selection is more than the candidates={self.candidates}."
            )
        self.proxy.check(self.selection.features)
        if self.accuracy is not None:
            reward(self.accuracy)  # an unknown name is refused before anything is written


class Evolution:
    """
    Rounds of generate, features, select, train, evaluate. Each stage is a folder; a finished one is never redone, and
    a run that was killed goes on in the middle of the stage that it was in.

    Args:
        student (`str`):
            Name or path of the model that is adapted.
        settings ([`EvolveSettings`]):
            What a round does.
        args ([`CurriculumSFTConfig`] or [`CurriculumGRPOConfig`]):
            How a round trains, by SFT or by GRPO; its `output_dir` is that of the whole run. A curriculum works inside
            each round.
        lora ([`~peft.LoraConfig`]):
            Adapter that all rounds train on.
        examples (`list[Candidate]`):
            Trusted examples of the target task; `source` names the subtask of each.
        test (`list[Candidate]`):
            Held-out rows that the model is scored on before and after each round, per `source`.
        generators:
            Specs of where candidates come from, as [`~trl_curriculum.generators.make_generators`] takes them.
        model_kwargs (`dict`, *optional*):
            For `from_pretrained`.
        reward_funcs (`list[Callable]`, *optional*):
            Of GRPO; they are given the columns `answer` and `source`.

    Source: Li et al. 2026, arXiv 2604.26170 (two rounds of LoRA SFT on 20 % or 50 %; all else is ours).
    """

    def __init__(
        self,
        student: str,
        settings: EvolveSettings,
        args: CurriculumSFTConfig | CurriculumGRPOConfig,
        lora: LoraConfig,
        examples: list[Candidate],
        test: list[Candidate],
        generators: Any,
        model_kwargs: dict[str, Any] | None = None,
        reward_funcs: list[RewardFunction] | None = None,
    ) -> None:
        if isinstance(args, CurriculumGRPOConfig) != bool(reward_funcs):
            raise ValueError(
                f"args is a {type(args).__name__}, and reward_funcs are {'given' if reward_funcs else 'missing'}: "
                "rewards go with GRPO."
            )
        self.settings, self.lora, self.test, self.reward_funcs = settings, lora, test, reward_funcs or []
        self.generators = make_generators(generators)
        self.written_by = [one.depends_on() for one in self.generators]
        self.output = Path(str(args.output_dir))
        self.args = copy.copy(args)
        self.args.hub_model_id = args.hub_model_id or self.output.name  # not that of a stage's folder
        self.student = Model.of(student, model_kwargs)
        self.proxy = None
        if settings.proxy.model is not None:
            kept = ("dtype", "attn_implementation")
            self.proxy = Model.of(settings.proxy.model, {k: v for k, v in self.student.kwargs.items() if k in kept})
        self.seeds, self.validation = self._split(_trusted(examples, test))
        longest = max(LONGEST, timedelta(seconds=args.ddp_timeout))
        before = {"scores": self._evaluate(self.student)}
        self.loop = Loop(self.stages, settings.rounds, self.output, before, longest)

    def _split(self, examples: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        mixed = np.random.default_rng(self.args.seed).permutation(len(examples))
        n = min(max(1, round(self.settings.validation_share * len(examples))), len(examples) - 1)
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
        settings, args = self.settings, self.args
        adapter = at.earlier[-1].folder("adapter") if at.earlier else None
        student = dataclasses.replace(self.student, adapter=adapter)
        selected = [each.folder("selection") / SELECTED for each in (*at.earlier, at)]
        return {
            "candidates": Generate(
                student,
                settings.candidates,
                settings.near_duplicates,
                self.seeds,
                [*self.validation, *self.test],
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
                settings.selection,
                settings.proxy,
                self.proxy or student,
                args,
            ),
            "adapter": Train(student, selected[-1], args, self.lora, self.reward_funcs),
            "scores": self._evaluate(dataclasses.replace(student, adapter=at.folder("adapter"))),
        }

    def _evaluate(self, model: Model) -> Evaluate:
        max_length = getattr(self.args, "max_length", None)
        return Evaluate(model, self.test, self.settings.accuracy, self.settings.max_answer_tokens, max_length)


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
