"""What every generator and every template does: rows come out whole, or not at all and with a reason."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ..generators import Candidate, Generator
from .case import Case


@dataclass(frozen=True)
class GeneratorCase(Case):
    """
    A generator, and what its invariants have to know of it.

    Args:
        student ([`~trl_curriculum.generators.Student`], *optional*):
            The model of a round, where it needs one.
        examples (`list[Candidate]`, *optional*):
            Trusted rows.
        writes (`bool`, *optional*, defaults to `True`):
            Whether it can write here; `False` for one whose model is out of a test's reach.
    """

    student: Any = None
    examples: list[Candidate] = field(default_factory=lambda: [Candidate("1 + 1?", "2", "2")])
    writes: bool = True

    def try_out(self) -> None:
        self.method.depends_on()

    def make(self) -> Generator:
        if not self.writes:
            pytest.skip("it cannot write here")
        generator: Generator = self.method.located(str).make(self.student, self.examples)
        return generator


def what_it_depends_on_is_plain(case: GeneratorCase) -> None:
    assert json.dumps(case.method.depends_on()) == json.dumps(case.method.depends_on())


def it_writes_no_more_than_was_asked_for(case: GeneratorCase) -> None:
    for n in (1, 3):
        batch = case.make().generate(n, disable_tqdm=True)
        assert len(batch.accepted) <= n and all(isinstance(row, Candidate) for row in batch.accepted)
        assert all(isinstance(row.prompt, str) == isinstance(case.examples[0].prompt, str) for row in batch.accepted)
        assert all(one.stage and one.reason for one in batch.rejected)


def the_same_arguments_write_the_same(case: GeneratorCase) -> None:
    first, second = (case.make().generate(3, seed=5, disable_tqdm=True) for _ in range(2))
    assert first.accepted == second.accepted and first.rejected == second.rejected


@dataclass(frozen=True)
class TemplateCase(Case):
    """
    A template, and what its invariants have to know of it.

    Args:
        examples (`list[Candidate]`, *optional*):
            Rows that fit the format.
    """

    examples: list[Candidate] = field(default_factory=lambda: [Candidate("1 + 1?", "2"), Candidate("2 + 3?", "5")])

    @property
    def texts(self) -> list[str]:
        """The examples as a model would write them after the prompt."""
        texts = [self.method.render(example) for example in self.examples]
        first = f"{self.method.labels[0]}:"
        assert all(text.startswith(first) for text in texts)
        return texts if self.method.chat else [text.removeprefix(first) for text in texts]


def what_is_rendered_reads_back(case: TemplateCase) -> None:
    for example, text in zip(case.examples, case.texts, strict=True):
        row = case.method.parse(text)
        assert isinstance(row, Candidate), row
        assert (row.question, row.response) == (example.question, example.response)
        assert not case.method.has_answer or row.answer


def what_does_not_match_is_rejected_with_a_reason(case: TemplateCase) -> None:
    for text in ("", "nothing of the kind", f"{case.texts[0]}\n{case.method.labels[0]}: again", case.texts[0][:3]):
        reason = case.method.parse(text)
        assert isinstance(reason, str) and reason, text
    assert case.method.parse(case.texts[0], ended=False) == "cut off"


def prompts_show_the_examples(case: TemplateCase) -> None:
    for prompt in (case.method.build(case.examples), case.method.ask(case.examples, case.examples[0])):
        text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        assert all(case.method.render(example) in text for example in case.examples)
        assert case.method.chat == (not isinstance(prompt, str))


GENERATORS: list[Callable[[Any], None]] = [
    what_it_depends_on_is_plain,
    it_writes_no_more_than_was_asked_for,
    the_same_arguments_write_the_same,
]
TEMPLATES: list[Callable[[Any], None]] = [
    what_is_rendered_reads_back,
    what_does_not_match_is_rejected_with_a_reason,
    prompts_show_the_examples,
]
