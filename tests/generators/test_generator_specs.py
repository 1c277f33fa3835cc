"""Generators from plain values: mistakes are told before a model is loaded, and rows are of the examples' kind."""

import inspect
from pathlib import Path
from typing import Any

import pytest
import tiny

from trl_curriculum.generators import Candidate, FileGenerator, LanguageModelGenerator, ProceduralGenerator, save
from trl_curriculum.generators.specs import LanguageModelSpec, check_shares, check_spec, form_of, make_generator


CHAIN_SUM = {"kind": "procedural", "family": "chain_sum"}
WRITES = {"kind": "language_model", "sampling": {"max_new_tokens": 8}}


def messages(question: str = "a", system: str | None = None) -> Candidate:
    before = [{"role": "system", "content": system}] if system else []
    return Candidate([*before, {"role": "user", "content": question}], [{"role": "assistant", "content": "b"}])


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("file", "A generator is 'file'"),
        ({"kind": ["file"]}, r"kind=\['file'\]"),
        ({"kind": "file"}, "kind 'file' needs a path"),
        ({"kind": "file", "path": 3}, "needs a path, a text; it has 3"),
        ({"kind": "file", "path": "nowhere.jsonl"}, "There is no file nowhere.jsonl"),
        ({"kind": "procedural"}, "kind 'procedural' needs a family"),
        (CHAIN_SUM | {"share": "half"}, "share='half'"),
        (CHAIN_SUM | {"share": True}, "share=True"),
        (CHAIN_SUM | {"share": float("nan")}, "share=nan"),
        (CHAIN_SUM | {"famly": "x"}, r"no option 'famly' \(did you mean 'family'\?\)"),
        (CHAIN_SUM | {"family": "chain_sun"}, r"'chain_sun' \(did you mean 'chain_sum'\?\)"),
        (CHAIN_SUM | {"config": {"min_term": 2}}, r"'min_term' .*did you mean 'min_terms'"),
        (CHAIN_SUM | {"config": {"min_terms": 5, "max_terms": 2}}, "reasoning-gym refuses"),
        (CHAIN_SUM | {"config": {"seed": 1}}, r"\['seed'\], which each call gives"),
        (CHAIN_SUM | {"config": "easy"}, "config='easy'"),
        (CHAIN_SUM | {"wrong": 2}, "wrong=2"),
        (CHAIN_SUM | {"wrong": "all"}, "wrong='all' in .* must be float"),
        (CHAIN_SUM | {"completion": "x"}, "where the answer goes"),
        (CHAIN_SUM | {"conversational": False, "system": "s"}, "plain texts"),
        (WRITES | {"shots": "four"}, "shots='four' in .* must be int"),
        (WRITES | {"shots": 0}, "shots=0"),
        (WRITES | {"batch_size": 0}, "batch_size=0"),
        (WRITES | {"attempts": 0}, "attempts=0"),
        (WRITES | {"source": 1}, "source=1"),
        (WRITES | {"model": 7}, "model=7"),
        (WRITES | {"back_end": "vlm"}, "back_end='vlm' of a generator is none of transformers, vllm, server"),
        (WRITES | {"back_end": "vllm"}, "needs a model"),
        (WRITES | {"back_end": "server", "model_kwargs": {"url": "x"}}, "needs a model"),
        (WRITES | {"back_end": "server", "model": "x"}, "back_end 'server' needs url in its `model_kwargs`"),
        (WRITES | {"model": "x", "model_kwargs": {"trust_remote_code": True}}, "leave trust_remote_code out"),
        (WRITES | {"model_kwargs": {"dtype": "bfloat16"}}, "set `model`"),
        (WRITES | {"model": "x", "model_kwargs": "fast"}, "model_kwargs='fast'"),
        (WRITES | {"template": "open_questions"}, "did you mean 'open_question'"),
        (WRITES | {"template_kwargs": {"option": 4}}, "template_kwargs has no option 'option'"),
        (WRITES | {"template": "multiple_choice", "template_kwargs": {"options": 1}}, "options=1"),
        (WRITES | {"template_kwargs": {"chat": "yes"}}, "chat='yes'"),
        (WRITES | {"template_kwargs": {"stop": "end"}}, "stop='end'"),
        (WRITES | {"template_kwargs": ["chat"]}, "template_kwargs="),
        (WRITES | {"template_kwargs": {"conversational": False, "system": "s"}}, "plain texts"),
        (WRITES | {"sampling": {"temperature": -1}}, "temperature=-1"),
        (WRITES | {"sampling": {"top_p": "all"}}, "top_p='all'"),
        (WRITES | {"agreement": {"answer": 4}}, "agreement has no option 'answer'"),
        (WRITES | {"agreement": {"share": 0}}, "share=0"),
        (WRITES | {"agreement": {"compare": "math"}}, "Unknown reward"),
        (WRITES | {"agreement": {"sampling": {"temp": 1}}}, "sampling of agreement has no option 'temp'"),
        (WRITES | {"agreement": {"sampling": 0.5}}, "sampling=0.5 in agreement"),
        (WRITES | {"agreement": True}, "agreement=True"),
        (WRITES | {"agreement": {}, "template": "instruction"}, "no short answers"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(spec: Any, said: str) -> None:
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=said):
        check_spec(spec)


def test_files_are_looked_for_where_they_are(tmp_path: Path) -> None:
    save([Candidate("a", "b")], tmp_path / "rows.jsonl")
    spec = {"kind": "file", "path": "rows.jsonl"}
    assert check_spec(spec, lambda name: str(tmp_path / name)) == spec
    made = make_generator(spec, [], None, lambda: None, lambda name: str(tmp_path / name))
    assert isinstance(made, FileGenerator) and len(made.generate(1).accepted) == 1
    with pytest.raises(ValueError, match=r"Cannot read rows\.csv"):
        (tmp_path / "rows.csv").write_text("a")
        check_spec({"kind": "file", "path": str(tmp_path / "rows.csv")})


@pytest.mark.parametrize(
    "spec",
    [
        CHAIN_SUM | {"share": 1, "system": "s"},  # messages, where the examples are
        WRITES | {"template_kwargs": {"system": "s"}, "agreement": {"compare": "math_accuracy", "sampling": None}},
        WRITES | {"model": "x", "back_end": "vllm", "template_kwargs": None, "attempts": None},
        WRITES | {"model": "x", "back_end": "server", "model_kwargs": {"url": "http://localhost:8000"}},
    ],
)
def test_what_is_right_passes(spec: dict[str, Any]) -> None:
    assert check_spec(spec) is spec


def test_shares_sum_to_one() -> None:
    check_shares([{}])
    check_shares([{"share": 0.1}] * 10)
    for specs, total in (([{"share": 0.5}], "0.5"), ([{}, {}], "2"), ([{"share": 0.5}, {"share": 0.4}], "0.9")):
        with pytest.raises(ValueError, match=f"{len(specs)} generators sum to {total} "):
            check_shares(specs)


def test_the_options_of_a_language_model_are_those_of_its_generator() -> None:
    theirs = inspect.signature(LanguageModelGenerator).parameters
    for name, option in inspect.signature(LanguageModelSpec).parameters.items():
        assert name not in theirs or name == "template" or option.default == theirs[name].default


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
        ([messages(system="s")], {"system": None}, (True, None)),
        ([messages(system="s")], {"conversational": False}, (False, None)),
        ([Candidate("a", "b")], {"conversational": True}, (True, None)),
    ],
)
def test_candidates_are_of_the_kind_of_the_examples(
    examples: list[Candidate], options: dict[str, Any], form: tuple[bool, str | None]
) -> None:
    made = form_of(examples, options)
    assert (made["conversational"], made.get("system")) == form
    problems = make_generator(CHAIN_SUM | options, examples, None, lambda: None)
    assert isinstance(problems, ProceduralGenerator) and (problems.conversational, problems.system) == form
    spec = WRITES | {"template_kwargs": options}
    writes = make_generator(spec, examples, tiny.tokenizer(), tiny.model)
    assert isinstance(writes, LanguageModelGenerator)
    row = writes.template.parse(" x\nAnswer: y")
    assert isinstance(row, Candidate) and isinstance(row.prompt, list) == form[0]
    first = problems.generate(1).accepted[0].prompt
    for prompt in (row.prompt, first) if form[0] else ():
        assert (prompt[0]["content"] if prompt[0]["role"] == "system" else None) == form[1]  # type: ignore[index]
    assert isinstance(first, list) == form[0] and writes.shots == len(examples)


def test_a_system_message_for_plain_examples_is_refused() -> None:
    with pytest.raises(ValueError, match="set conversational=True"):
        make_generator(CHAIN_SUM | {"system": "s"}, [Candidate("a", "b")], None, lambda: None)
