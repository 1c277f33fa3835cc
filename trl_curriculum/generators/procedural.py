"""Candidates from a task family of reasoning-gym: new problems without end, with right answers."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..data.tasks import load_family, reasoning_gym_dataset
from ..registry import option
from ..rewards.answers import Completion
from ..rewards.functions import reasoning_gym_accuracy
from .base import GENERATORS, GeneratorMethod, Student
from .candidates import Batch, Candidate, Rejected
from .form import Form


@GENERATORS.add("procedural")
@dataclass(frozen=True)
class ProceduralGenerator(GeneratorMethod, Form):
    r"""
    Problems of a reasoning-gym family with their answers, which the family's own scorer has confirmed.

    Raises:
        `ValueError`: for a family or options of it that reasoning-gym does not have.
    """

    family: str = option(help="Name of the family.")
    config: dict[str, Any] | None = option(None, "The family's own options, but for `size` and `seed`.")
    completion: str = option(
        "{answer}", "Form of the completions, such as `\\boxed{{answer}}`; `{answer}` is replaced."
    )
    instruction: str | None = option(None, "Appended to the questions.")
    wrong: float = option(
        0.0,
        "Share of the candidates that get a wrong answer on purpose (that of another problem, which the scorer "
        'refuses), to test what a selection makes of them. Their source ends in `" (wrong)"`.',
        least=0,
        most=1,
    )

    def check(self) -> None:
        super().check()
        if "{answer}" not in self.completion:
            raise ValueError(
                f"completion={self.completion!r} does not say where the answer goes: put {{answer}} there."
            )
        config = self.config or {}
        if own := {"size", "seed"} & config.keys():
            raise ValueError(f"The config of task family {self.family!r} has {sorted(own)}, which each call gives.")
        load_family(self.family, **config)

    def make(self, student: Student, examples: Sequence[Candidate]) -> Self:
        return self.like(examples)

    def generate(self, n: int, seed: int = 0, folder: str | Path | None = None, disable_tqdm: bool = False) -> Batch:
        """
        n problems, without those that have no answer or whose answer the scorer does not confirm.

        Problems can repeat, most of all in a small family. Two seeds share no random numbers.
        """
        start = time.monotonic()
        spec = {"family": self.family, "size": n, "seed": seed, "config": self.config or {}}
        rows = reasoning_gym_dataset([spec], system=self.system, instruction=self.instruction).to_list()
        rng = np.random.default_rng([seed, n])
        purposely = set(rng.permutation(n)[: round(self.wrong * n)].tolist())
        accepted: list[Candidate] = []
        rejected: list[Rejected] = []
        for k, row in enumerate(rows):
            answer, source = row["answer"], f"reasoning-gym/{self.family}"
            reason = "" if answer.strip() else "no answer"
            if not reason and self._score(row, answer) != 1:
                reason = "its scorer does not confirm the answer"
            if not reason and k in purposely:
                others = (rows[other]["answer"] for other in rng.permutation(n))
                answer = next((one for one in others if one.strip() and self._score(row, one) == 0), "")
                source += " (wrong)"
                reason = "" if answer else "no wrong answer among the others"
            if reason:
                rejected.append(Rejected("format", reason, f"{row['prompt'][-1]['content']}\n{answer}", source))
            else:
                accepted.append(self._candidate(row["prompt"], answer, source))
        return Batch(accepted, rejected, seconds=time.monotonic() - start)

    def _score(self, row: dict[str, Any], answer: str) -> float | None:
        boxed: list[Completion] = [f"\\boxed{{{answer}}}"]  # what else an answer of several lines would be read as
        return reasoning_gym_accuracy(boxed, family=[row["family"]], entry=[row["entry"]])[0]

    def _candidate(self, prompt: list[dict[str, Any]], answer: str, source: str) -> Candidate:
        completion = self.completion.replace("{answer}", answer)
        if not self.messages:
            return Candidate(prompt[-1]["content"], completion, answer, source)
        return Candidate(prompt, [{"role": "assistant", "content": completion}], answer, source)
