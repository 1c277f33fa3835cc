"""Generators from plain values: mistakes are told before a model is loaded, and rows are of the examples' kind."""

import functools
import inspect
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import tiny

from trl_curriculum import registry
from trl_curriculum.generators import (
    GENERATORS,
    TEMPLATES,
    Candidate,
    FileGenerator,
    GeneratorMethod,
    LanguageModel,
    LanguageModelGenerator,
    MultipleChoice,
    OpenQuestion,
    ProceduralGenerator,
    make_generators,
    save,
)


CHAIN_SUM = {"family": "chain_sum"}
WRITES = {"sampling": {"max_new_tokens": 8}}


class Student:
    """The tiny model, as a round has it."""

    tokenizer = tiny.tokenizer()

    def load(self) -> Any:
        return tiny.model()


def problems(**options: Any) -> dict[str, Any]:
    return {"procedural": CHAIN_SUM | options}


def writes(**options: Any) -> dict[str, Any]:
    return {"language_model": WRITES | options}


def messages(question: str = "a", system: str | None = None) -> Candidate:
    before = [{"role": "system", "content": system}] if system else []
    return Candidate([*before, {"role": "user", "content": question}], [{"role": "assistant", "content": "b"}])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("file", "Generator 'file' needs the option 'path'"),
        ("fil", r"Unknown generator 'fil' \(did you mean 'file'\?\)"),
        ({"kind": "file", "path": "x"}, r"is not a name, or {name: .*such as {file: {path: rows.jsonl}}"),
        ({"kind": "file"}, r"such as {file: {path: rows.jsonl}}"),
        ({"file": "x"}, r"such as {file: {path: rows.jsonl}}"),
        ("{file: x}", "is no JSON"),
        ([], "No generators"),
        ({"file": {"path": 3}}, "path=3 of file must be str or Path"),
        ({"file": {"path": "nowhere.jsonl"}}, "There is no file nowhere.jsonl"),
        ("procedural", "Generator 'procedural' needs the option 'family'"),
        (problems(share="half"), "share='half' of procedural must be float"),
        (problems(share=True), "share=True"),
        (problems(share=float("nan")), "share=nan of procedural is not a number"),
        (problems(share=2), "share=2 of procedural must be above 0 and at most 1"),
        (problems(share=0), "share=0 of procedural must be above 0"),
        (problems(famly="x"), r"no option 'famly' \(did you mean 'family'\?\)"),
        (problems(family="chain_sun"), r"'chain_sun' \(did you mean 'chain_sum'\?\)"),
        (problems(config={"min_term": 2}), r"'min_term' .*did you mean 'min_terms'"),
        (problems(config={"min_terms": 5, "max_terms": 2}), "reasoning-gym refuses"),
        (problems(config={"seed": 1}), r"\['seed'\], which each call gives"),
        (problems(config="easy"), "config='easy' of procedural must be dict"),
        (problems(wrong=2), "wrong=2 of procedural must be at least 0 and at most 1"),
        (problems(wrong="all"), "wrong='all' of procedural must be float"),
        (problems(completion="x"), "where the answer goes"),
        (problems(conversational=False, system="s"), "plain texts"),
        (writes(shots="four"), "shots='four' of language_model must be int"),
        (writes(shots=0), "shots=0 of language_model must be at least 1"),
        (writes(batch_size=0), "batch_size=0"),
        (writes(attempts=0), "attempts=0"),
        (writes(source=1), "source=1"),
        (writes(model=7), "model=7"),
        (writes(back_end="vlm"), "back_end='vlm' of language_model is none of transformers, vllm, server"),
        (writes(back_end="vllm"), "needs a model"),
        (writes(back_end="server", model_options={"url": "x"}), "needs a model"),
        (writes(back_end="server", model="x"), "back_end 'server' needs url in its `model_options`"),
        (writes(model="x", model_options={"trust_remote_code": True}), "leave trust_remote_code out"),
        (writes(model_options={"dtype": "bfloat16"}), "set `model`"),
        (writes(model="x", model_options="fast"), "model_options='fast'"),
        (writes(model="x", model_kwargs={}), "no option 'model_kwargs'.* it has .*model_options"),
        (writes(template="open_questions"), r"Unknown template 'open_questions' \(did you mean 'open_question'\?\)"),
        (writes(template_kwargs={}), r"no option 'template_kwargs' \(did you mean 'template'\?\)"),
        (writes(template=["chat"]), r"such as {multiple_choice: {rationale: false}}"),
        (writes(template={"open_question": {"option": 4}}), "Template 'open_question' has no option 'option'"),
        (writes(template={"multiple_choice": {"choices": 1}}), "choices=1 of multiple_choice must be at least 2"),
        (writes(template={"open_question": {"chat": "yes"}}), "chat='yes' of open_question must be bool"),
        (writes(template={"open_question": {"stop": "end"}}), "stop='end' of open_question must be tuple"),
        (writes(template={"open_question": {"conversational": False, "system": "s"}}), "plain texts"),
        (writes(sampling={"temperature": -1}), "temperature=-1"),
        (writes(sampling={"top_p": "all"}), "top_p='all'"),
        (writes(agreement={"answer": 4}), "agreement has no option 'answer'"),
        (writes(agreement={"share": 0}), "share=0"),
        (writes(agreement={"compare": "math"}), "Unknown reward"),
        (writes(agreement={"sampling": {"temp": 1}}), "sampling of agreement has no option 'temp'"),
        (writes(agreement={"sampling": 0.5}), "sampling=0.5 in agreement"),
        (writes(agreement=True), "agreement=True"),
        (writes(agreement={}, template="instruction"), "no short answers"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(spec: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=said):
        make_generators(spec)


def test_files_are_looked_for_where_they_are(tmp_path: Path) -> None:
    save([Candidate("a", "b")], tmp_path / "rows.jsonl")
    (made,) = make_generators({"file": {"path": "rows.jsonl"}}, lambda name: str(tmp_path / name))
    assert made == FileGenerator(str(tmp_path / "rows.jsonl"))
    assert len(made.make(Student(), []).generate(1).accepted) == 1
    with pytest.raises(ValueError, match=r"Cannot read .*rows\.txt"):
        (tmp_path / "rows.txt").write_text("a")
        make_generators(FileGenerator(tmp_path / "rows.txt"))


def test_what_a_file_writes_depends_on_its_rows_wherever_it_is(tmp_path: Path) -> None:
    facts = []
    for folder, text in (("a", "x"), ("b", "x"), ("c", "y")):
        (tmp_path / folder).mkdir()
        save([Candidate(text, "b")], tmp_path / folder / "rows.jsonl")
        facts.append(FileGenerator(tmp_path / folder / "rows.jsonl").depends_on())
    assert facts[0] == facts[1] != facts[2]
    assert FileGenerator(Path("a.jsonl"), share=0.5).spec == {"file": {"share": 0.5, "path": "a.jsonl"}}


@pytest.mark.parametrize(
    "spec",
    [
        problems(share=1, system="s"),  # messages, where the examples are
        writes(template={"open_question": {"system": "s"}}, agreement={"compare": "math_accuracy", "sampling": None}),
        writes(model="x", back_end="vllm", template="multiple_choice", attempts=None),
        writes(model="x", back_end="server", model_options={"url": "http://localhost:8000"}),
        '{"procedural": {"family": "chain_sum", "config": {"min_terms": 2}}}',
        ProceduralGenerator("chain_sum"),
        "language_model",
        LanguageModel(template=MultipleChoice(rationale=False)),
    ],
)
def test_what_is_right_passes_and_is_spelled_again(spec: Any) -> None:
    (made,) = make_generators(spec)
    assert GENERATORS.make(made.spec).spec == made.spec


def test_shares_sum_to_one() -> None:
    make_generators([problems(share=0.1)] * 10)
    for shares, total in (([0.5], "0.5"), ([1, 1], "2"), ([0.5, 0.4], "0.9")):
        with pytest.raises(ValueError, match=f"{len(shares)} generators sum to {total} "):
            make_generators([problems(share=share) for share in shares])


def test_the_options_of_a_language_model_are_those_of_its_generator() -> None:
    theirs = inspect.signature(LanguageModelGenerator).parameters
    for name, option in inspect.signature(LanguageModel).parameters.items():
        assert name not in theirs or name == "template" or option.default == theirs[name].default


@dataclass(frozen=True)
class Echo(GeneratorMethod):
    """Writes nothing."""

    def make(self, student: Any, examples: Any) -> Any:
        return None


@dataclass(frozen=True)
class Riddle(OpenQuestion):
    """A question in other words."""

    def _stop(self) -> tuple[str, ...]:
        return ("\nRiddle:",)


def test_other_packages_add_generators_and_templates(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "trl_curriculum.generators": ("echo", "Echo"),
        "trl_curriculum.templates": ("riddle", "Riddle"),
    }

    def entries(group: str) -> tuple[EntryPoint, ...]:
        return tuple(EntryPoint(name, f"{__name__}:{cls}", group) for name, cls in [found[group]] if group in found)

    monkeypatch.setattr(registry, "installed", functools.cache(entries))
    (made,) = make_generators("echo")
    assert made == Echo() and made.spec == "echo" and "echo" in GENERATORS.names()
    assert TEMPLATES.make({"riddle": {"rationale": True}}) == Riddle(rationale=True)
    (writing,) = make_generators(writes(template="riddle"))
    assert writing.spec == writes(template="riddle")
    made = writing.make(Student(), [Candidate("a", "b")])
    assert isinstance(made, LanguageModelGenerator) and made.template.stops == ("\nRiddle:",)


# The kind of the examples


@pytest.mark.parametrize(
    ("examples", "options", "form"),
    [
        ([Candidate("a", "b")], {}, (False, None)),
        ([messages()], {}, (True, None)),
        ([messages(system="s"), messages("c", "s")], {}, (True, "s")),
        ([messages(system="s"), messages("c", "t")], {}, (True, None)),
        ([messages(system="s"), messages("c")], {}, (True, None)),
        ([messages(system="s")], {"system": "t"}, (True, "t")),
        ([messages(system="s")], {"system": ""}, (True, None)),
        ([messages(system="s")], {"conversational": False}, (False, None)),
        ([Candidate("a", "b")], {"conversational": True}, (True, None)),
    ],
)
def test_candidates_are_of_the_kind_of_the_examples(
    examples: list[Candidate], options: dict[str, Any], form: tuple[bool, str | None]
) -> None:
    made = GENERATORS.make(problems(**options)).make(Student(), examples)
    assert isinstance(made, ProceduralGenerator) and (made.messages, made.system or None) == form
    writing = GENERATORS.make(writes(template={"open_question": options})).make(Student(), examples)
    assert isinstance(writing, LanguageModelGenerator)
    row = writing.template.parse(" x\nAnswer: y")
    assert isinstance(row, Candidate) and isinstance(row.prompt, list) == form[0]
    first = made.generate(1).accepted[0].prompt
    for prompt in (row.prompt, first) if form[0] else ():
        assert (prompt[0]["content"] if prompt[0]["role"] == "system" else None) == form[1]  # type: ignore[index]
    assert isinstance(first, list) == form[0] and writing.shots == len(examples)


def test_a_system_message_for_plain_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="set conversational=True"):
        GENERATORS.make(problems(system="s")).make(Student(), [Candidate("a", "b")])
