"""Where candidates come from: parsers, generators, duplicates, files."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset

from trl_curriculum.generators import (
    Agreement,
    Batch,
    Candidate,
    FileGenerator,
    InstructionResponse,
    LanguageModelGenerator,
    MultipleChoice,
    NothingUsableError,
    OpenQuestion,
    ProceduralGenerator,
    Rejected,
    Sampling,
    from_dataset,
    load,
    remove_duplicates,
    save,
    to_dataset,
)
from trl_curriculum.generators import agreement as agreement_module
from trl_curriculum.generators.duplicates import KINDS, WORD, like_an_earlier
from trl_curriculum.generators.text_cache import TextCache
from trl_curriculum.lm.engines import Completion
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.rewards.answers import normalized


SUM = Candidate("What is 1 + 2?", "3")
CHOICE = Candidate(
    "Which is red?\nA. grass\nB. blood\nC. snow\nD. coal", "Iron makes it red.\nIt is blood.\nAnswer: B", "B"
)
TASK = Candidate("Name two colours.\n\nShort names only.", "red\n\nblue")
MESSAGES = Candidate([{"role": "user", "content": "hello"}], [{"role": "assistant", "content": "world"}], "world", "x")


# Candidates


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": " ", "completion": "a"}, "`prompt` is empty"),
        ({"prompt": "a", "completion": []}, "`completion` is \\[\\]"),
        ({"prompt": [{"role": "user", "content": None}], "completion": "a"}, "the message"),
        ({"prompt": [{"role": "user", "content": ""}], "completion": "a"}, "empty message"),
        ({"prompt": MESSAGES.prompt, "completion": "a"}, "a text and messages"),
        ({"prompt": "a", "completion": "b", "answer": 3}, "`answer` is 3"),
        ({"prompt": "a", "completion": "b", "source": None}, "`source` is None"),
    ],
)
def test_a_row_that_is_no_candidate_is_refused(row: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Candidate(**row)


def test_report_counts_by_stage_and_reason() -> None:
    batch = Batch([SUM, TASK], [Rejected("format", "no answer", "x"), Rejected("format", "no answer", "y")], 7, 2.0)
    after = batch.without("leakage", {1: ("copy of a held-out row", "row 0")}, seconds=1.0)
    assert after.accepted == [SUM]
    assert after.rejected[-1].text == "Name two colours.\n\nShort names only.\nred\n\nblue"
    assert after.report() == {
        "written": 4,
        "accepted": 1,
        "yield": 0.25,
        "rejected": {"format: no answer": 2, "leakage: copy of a held-out row": 1},
        "sources": {"": 1},
        "tokens": 7,
        "seconds": 3.0,
    }
    assert (after + after).tokens == 14
    assert Batch([], []).report()["yield"] == 0


# Files


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize("rows", [[SUM, CHOICE, TASK], [MESSAGES]])
def test_files_give_back_what_was_saved(tmp_path: Path, suffix: str, rows: list[Candidate]) -> None:
    path = tmp_path / "deep" / f"rows.{suffix}"
    save(rows, path)
    assert load(path) == rows
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert to_dataset(rows).to_list()[0]["prompt"] == rows[0].prompt


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    save([SUM], path)
    with pytest.raises(ValueError, match="1 of 2 candidates are plain texts"):
        save([SUM, MESSAGES], path)
    assert load(path) == [SUM]
    with pytest.raises(ValueError, match=r"rows\.csv"):
        save([SUM], tmp_path / "rows.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


def test_rejected_texts_can_be_read(tmp_path: Path) -> None:
    save([Rejected("format", "no answer", "line\none", "me", "more")], tmp_path / "rejected.jsonl")
    assert json.loads((tmp_path / "rejected.jsonl").read_text()) == {
        "stage": "format",
        "reason": "no answer",
        "text": "line\none",
        "source": "me",
        "detail": "more",
    }


GOOD = '{"prompt": "a", "completion": "b"}\n'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (GOOD + "{nope}\n", "line 2 is not JSON"),
        (GOOD + "\n{}\n", "line 3: `prompt` is missing or null"),
        (GOOD + GOOD + "[1]\n", r"line 3: it is \[1\]"),
        (GOOD + '{"prompt": "a"}\n', r"line 2: `completion` is missing or null; the row has \['prompt'\]"),
        (GOOD + '{"prompt": "a", "completion": null}\n', "line 2: `completion` is missing or null"),
        (GOOD + '{"prompt": "a", "completion": ""}\n', "line 2: `completion` is empty"),
        (GOOD + '{"prompt": "a", "completion": "b", "answer": {"n": 4}}\n', "line 2: `answer` holds a dict"),
        ("", "has no rows"),
    ],
)
def test_file_errors_name_the_row(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "rows.jsonl").write_text(content)
    with pytest.raises(ValueError, match=said):
        load(tmp_path / "rows.jsonl")


def test_zero_is_the_name_of_a_source(tmp_path: Path) -> None:
    rows = Dataset.from_list([{"prompt": "a", "completion": "b", "arm": arm, "n": 0} for arm in (0, 1, None)])
    assert [one.source for one in from_dataset(rows, "arm", "n")] == ["0", "1", ""]
    assert [one.answer for one in from_dataset(rows, "arm", "n")] == ["0"] * 3
    (tmp_path / "rows.jsonl").write_text(GOOD + '{"prompt": "a", "completion": "b", "source": 0}\n')
    assert [one.source for one in load(tmp_path / "rows.jsonl")] == ["", "0"]


def test_other_file_errors(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="There is no file"):
        load(tmp_path / "none.jsonl")
    for name, said in (("rows.txt", "Cannot read"), ("rows.parquet", "not a parquet file")):
        (tmp_path / name).write_text(GOOD)
        with pytest.raises(ValueError, match=said):
            load(tmp_path / name)


def test_file_generator(tmp_path: Path) -> None:
    save([Candidate(str(k), "x", source="old" if k == 3 else "") for k in range(10)], tmp_path / "rows.jsonl")
    generator = FileGenerator(tmp_path / "rows.jsonl")
    everything = generator.generate().accepted
    assert [one.prompt for one in everything] == [str(k) for k in range(10)]
    assert {one.source for one in everything} == {"rows", "old"}
    drawn = generator.generate(4, seed=1).accepted
    assert drawn == generator.generate(4, seed=1).accepted == sorted(drawn, key=lambda one: int(one.prompt))
    assert drawn != generator.generate(4, seed=2).accepted
    with pytest.raises(ValueError, match=r"11 rows of .* it has 10"):
        generator.generate(11)


# Templates


def test_open_questions() -> None:
    template = OpenQuestion()
    assert template.build([SUM]) == "Question: What is 1 + 2?\nAnswer: 3\n\nQuestion:"
    assert template.parse(" What is 2 + 2?\nAnswer: 4") == Candidate("What is 2 + 2?", "4", "4")
    assert template.ask([SUM], Candidate("Why?", "x")).endswith("3\n\nQuestion: Why?\nAnswer:")
    assert template.read_answer(SUM, " 4") == "4"
    assert template.read_answer(SUM, " 4", ended=False) is None
    assert template.read_answer(SUM, "\nQuestion: 5?") is None


@pytest.mark.parametrize(
    ("template", "text", "reason"),
    [
        (OpenQuestion(), " What is 2 + 2?", "no answer"),
        (OpenQuestion(), " What is 2 + 2?\nAnswer:", "no answer"),
        (OpenQuestion(), "\nAnswer: 4", "no question"),
        (OpenQuestion(), " a?\nQuestion: b?\nAnswer: 4", "two questions"),
        (OpenQuestion(), " a?\nAnswer: 4\nAnswer: 5", "two answers"),
        (OpenQuestion(), " a?\nAnswer: 4\nsince so it is", "answer of several lines"),
        (OpenQuestion(rationale=True), " a?\nAnswer: 4", "no rationale"),
        (OpenQuestion(rationale=True), " a?\nAnswer: 4\nRationale: b", "fields out of order"),
        (OpenQuestion(chat=True), "Sure!", "no question"),
        (OpenQuestion(chat=True), "Sure!\nQuestion: a?\nAnswer: 4", "text before the question"),
        (OpenQuestion(chat=True), "Question: a?\nAnswer: 4\n\nQuestion: b?\nAnswer: 5", "two questions"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nRationale: r\nAnswer: A", "options are not A-D"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nE. w\nRationale: r\nAnswer: A", "options are not A-D"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nD. w\nso\nRationale: r\nAnswer: A", "options are not A-D"),
        (MultipleChoice(), "\nA. x\nB. y\nC. z\nD. w\nRationale: r\nAnswer: A", "no question"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. X\nD. w\nRationale: r\nAnswer: A", "two options are alike"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nD. w\nRationale: r\nAnswer: E", "answer is none of the options"),
        (
            MultipleChoice(),
            " a?\nA. x\nB. y\nC. z\nD. w\nRationale: r\nAnswer: A or B",
            "answer is none of the options",
        ),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nD. w\nRationale: r\nAnswer: A. y", "answer is none of the options"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nD. w\nRationale: r\nAnswer: A\nB", "answer is none of the options"),
        (MultipleChoice(), " a?\nA. x\nB. y\nC. z\nD. w\nAnswer: A", "no rationale"),
        (MultipleChoice(choices=3), " a?\nA. x\nB. y\nRationale: r\nAnswer: A", "options are not A-C"),
        (InstructionResponse(), " do", "no response"),
        (InstructionResponse(), " do\nResponse: \n", "no response"),
        (InstructionResponse(), " do\nResponse: a\nResponse: b", "two responses"),
    ],
)
def test_reasons(template: OpenQuestion, text: str, reason: str) -> None:
    assert template.parse(text) == reason
    assert template.parse(text, ended=False) == "cut off"


def test_multiple_choice() -> None:
    options = "\nA. x\nB. y\nC. z\nD. w"
    template = MultipleChoice(conversational=True, system="Be brief.")
    row = template.parse(f" a?{options}\nRationale: one\ntwo\nAnswer: (C) z")
    assert isinstance(row, Candidate)
    assert row.prompt == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": f"a?{options}"}]
    assert (row.response, row.answer) == ("one\ntwo\nAnswer: (C) z", "C")
    assert template.read_answer(row, " because\nAnswer: y") is None  # a letter alone is no text: too short to be told
    assert template.read_answer(row, " because\nAnswer: B") == "B"
    assert MultipleChoice(choices=2, rationale=False).parse(" a?\nA) x\nB) yes\nAnswer: yes").answer == "B"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("template", "example"),
    [
        (OpenQuestion(), SUM),
        (OpenQuestion(), Candidate("What is 1?", "\\boxed{1}", "1")),
        (OpenQuestion(rationale=True), Candidate("What is 1 + 2?", "One more than 2.\nAnswer: 3", "3")),
        (MultipleChoice(), CHOICE),
        (InstructionResponse(), TASK),
        (OpenQuestion(), MESSAGES),
    ],
)
@pytest.mark.parametrize("chat", [False, True])
def test_examples_read_back_as_they_are(template: Any, example: Candidate, chat: bool) -> None:
    template = type(template)(**{**vars(template), "chat": chat})
    asked = template.build([example, example])
    assert isinstance(asked, list) == chat
    text = template.render(example)
    row = template.parse(text if chat else text.removeprefix(f"{template.labels[0]}:"))
    assert (row.question, row.response) == (example.question, example.response)
    assert example.answer is None or row.answer == example.answer


@pytest.mark.parametrize(
    ("template", "example", "said"),
    [
        (OpenQuestion(), Candidate("a\n\nb", "c"), "at which writing stops"),
        (OpenQuestion(), Candidate("a", "b\nc"), "several lines"),
        (OpenQuestion(), Candidate("a", "b", "c"), "reads back as 'b', not 'c'"),
        (OpenQuestion(rationale=True), Candidate("a", "b"), "no answer"),
        (MultipleChoice(), SUM, "no answer"),
        (InstructionResponse(), Candidate("a\nResponse: x", "b"), "two responses"),
    ],
)
def test_examples_that_do_not_fit_are_refused(template: Any, example: Candidate, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        template.build([example])


def test_options_of_templates_are_checked() -> None:
    with pytest.raises(ValueError, match="choices=1 of multiple_choice must be at least 2 and at most 26"):
        MultipleChoice(choices=1)
    with pytest.raises(ValueError, match="conversational=True"):
        OpenQuestion(system="x", conversational=False)


# Language models


class Script:
    """Writes sums, every third of them without an answer; answers are right, but for questions with a 7."""

    name = "script"
    window: int | None = None

    def __init__(self, fail_at: int | None = None) -> None:
        self.calls = 0
        self.fail_at = fail_at

    def encode(self, prompt: Any) -> list[int]:
        return [ord(letter) for letter in prompt]

    def identity(self) -> str:
        return "script"

    def complete(
        self, prompts: list[list[int]], sampling: Sampling, seeds: Any, stop: Any = (), entropy: Any = None
    ) -> list[Completion]:
        self.calls += 1
        if self.calls == self.fail_at:
            raise KeyboardInterrupt
        assert len(prompts) == len(seeds) <= 4 and tuple(stop) == ("\n\n",)
        return [self.one("".join(map(chr, ids)), seed) for ids, seed in zip(prompts, seeds, strict=True)]

    def one(self, prompt: str, seed: int) -> Completion:
        last = prompt.split("\n\n")[-1]
        if "Answer" in last:
            a, b = (int(word.strip("?")) for word in last.split("\n")[0].split() if word.strip("?").isdigit())
            return Completion(f" {a + b + (seed % 2 if '7' in last else 0)}", 2, True)
        a, b = seed % 97, seed % 89
        return Completion(f" What is {a} + {b}?" + (f"\nAnswer: {a + b}" if seed % 3 else ""), 9, True)


def sums(**kwargs: Any) -> LanguageModelGenerator:
    engine = kwargs.pop("engine", None) or Script()
    examples = [Candidate(f"What is {k} + 1?", str(k + 1)) for k in range(200, 206)]
    return LanguageModelGenerator(engine, OpenQuestion(), examples, **({"batch_size": 4} | kwargs))


def test_writes_until_there_are_enough() -> None:
    batch = sums(source="script").generate(20, disable_tqdm=True)
    assert len(batch.accepted) == 20
    assert {one.source for one in batch.accepted} == {"script"}
    counts = batch.counts()
    assert counts["format: no answer"] > 0
    written = len(batch.accepted) + len(batch.rejected)
    assert written % 4 == 0 and batch.tokens == 9 * written
    again = sums(source="script").generate(20, disable_tqdm=True)
    assert (again.accepted, again.rejected) == (batch.accepted, batch.rejected)
    assert sums().generate(20, seed=1, disable_tqdm=True).accepted != batch.accepted
    more = sums(source="script").generate(30, disable_tqdm=True)
    assert more.accepted[:20] == batch.accepted


def test_copies_are_counted() -> None:
    class Repeats(Script):
        def one(self, prompt: str, seed: int) -> Completion:
            text = " what is  200 + 1?\nAnswer: 201" if seed % 2 else " What is 5 + 5?\nAnswer: 10"
            return Completion(text, 9, True)

    batch = sums(engine=Repeats(), attempts=12).generate(5, disable_tqdm=True)
    assert len(batch.accepted) == 1
    assert set(batch.counts()) == {"duplicates: copy of an example", "duplicates: duplicate"}


def test_few_candidates_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        batch = sums(attempts=7).generate(50, disable_tqdm=True)
    assert len(batch.accepted) + len(batch.rejected) == 8
    assert f"{len(batch.accepted)} of 50 candidates after 8 texts" in caplog.text


def test_nothing_usable_is_an_error_with_the_counts(tmp_path: Path) -> None:
    class Babbles(Script):
        def one(self, prompt: str, seed: int) -> Completion:
            return Completion(" bla", 9, bool(seed % 2))

    with pytest.raises(NothingUsableError, match=r"None of 20 texts .*format: no answer.*The first: ' bla'") as error:
        sums(engine=Babbles()).generate(2, folder=tmp_path, disable_tqdm=True)
    assert "format: cut off" in str(error.value)


def test_agreement_keeps_what_is_answered_alike() -> None:
    agreement = Agreement(answers=4, share=1.0)
    batch = sums(agreement=agreement).generate(12, disable_tqdm=True)
    refused = [one for one in batch.rejected if one.stage == "agreement"]
    assert len(batch.accepted) == 12 and refused
    assert all("7" in one.text for one in refused)
    assert {one.reason for one in refused} == {"answers disagree"} and "other answers: ['" in refused[0].detail
    assert batch.tokens > 9 * (12 + len(refused))


def test_agreement_by_a_share_and_by_a_reward() -> None:
    half = Agreement(answers=4, share=0.5)
    assert half.reached("3", ["3", "three", "3.0", None])
    assert not half.reached("3", ["3", "4", None, None])
    assert half.reached("Paris", ["paris.", "PARIS", "Rome", None])
    assert not half.reached("3", [None] * 4)
    assert Agreement(2, 0.5, compare="math_accuracy").reached("1/2", ["\\frac{1}{2}", "3"])
    assert not agreement_module.same_answer("1,0", "1.0")
    assert agreement_module.same_answer("1,000", "1000")
    for options, said in (
        ({"share": 0}, "share=0"),
        ({"compare": "math"}, "Unknown reward"),
        ({"answers": 0}, "answers=0"),
    ):
        with pytest.raises(ValueError, match=said):
            Agreement(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="all alike"):
        Agreement(sampling=Sampling(temperature=0))
    with pytest.raises(ValueError, match="no short answers"):
        LanguageModelGenerator(Script(), InstructionResponse(), [TASK], 1, agreement=Agreement())


@pytest.mark.parametrize("fail_at", [1, 2, 3, 6])
def test_a_kill_loses_one_batch_at_most(tmp_path: Path, fail_at: int) -> None:
    agreement = Agreement(answers=2)
    whole = sums(agreement=agreement).generate(12, disable_tqdm=True)
    killed = sums(agreement=agreement, engine=Script(fail_at))
    with pytest.raises(KeyboardInterrupt):
        killed.generate(12, folder=tmp_path, disable_tqdm=True)
    for file in tmp_path.iterdir():
        with open(file, "ab") as half:
            half.write(b'["batch 9", {"tex')
    script = Script()
    resumed = sums(agreement=agreement, engine=script).generate(12, folder=tmp_path, disable_tqdm=True)
    assert (resumed.accepted, resumed.rejected, resumed.tokens) == (whole.accepted, whole.rejected, whole.tokens)
    calls = script.calls
    again = sums(agreement=agreement, engine=script).generate(12, folder=tmp_path, disable_tqdm=True)
    assert script.calls == calls and again.accepted == whole.accepted and again.seconds == resumed.seconds
    complete = Script()
    sums(agreement=agreement, engine=complete).generate(12, disable_tqdm=True)
    assert complete.calls - 2 <= calls + (fail_at - 1) <= complete.calls


def test_other_options_write_anew(tmp_path: Path) -> None:
    sums().generate(4, folder=tmp_path, disable_tqdm=True)
    for change in ({"shots": 3}, {"sampling": Sampling(0.5)}, {"batch_size": 2}):
        script = Script()
        sums(engine=script, **change).generate(4, folder=tmp_path, disable_tqdm=True)
        assert script.calls
    script = Script()
    sums(engine=script).generate(4, seed=1, folder=tmp_path, disable_tqdm=True)
    assert script.calls and len(list(tmp_path.iterdir())) == 5


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "written.jsonl").write_text('{"name": "batch 0"}\n')
    with pytest.raises(ValueError, match=r"line 1 holds no record .* delete the file"):
        TextCache(tmp_path / "written.jsonl")


def test_generator_options_are_checked() -> None:
    script = Script()
    script.window = 200
    with pytest.raises(
        ValueError, match=r"up to \d+ tokens, and 256 are to be written, but the model's window is 200"
    ):
        sums(engine=script)
    for change, said in (({"shots": 7}, "shots=7 of 6"), ({"batch_size": 0}, "batch_size=0"), ({"attempts": 0}, "=0")):
        with pytest.raises(ValueError, match=said):
            sums(**change)
    with pytest.raises(ValueError, match="no examples"):
        LanguageModelGenerator(Script(), OpenQuestion(), [])
    with pytest.raises(ValueError, match="n=0"):
        sums().generate(0)
    with pytest.raises(ValueError, match="temperature=-1"):
        Sampling(temperature=-1)


# The tiny model writes nothing that any template accepts.


def test_what_a_model_wrote_is_named_by_its_weights_and_must_fit_its_window(tiny_path: str, tmp_path: Path) -> None:
    engine = TransformersEngine.load(tiny_path)
    examples = [Candidate("a", "b")]
    generator = LanguageModelGenerator(
        engine, OpenQuestion(), examples, 1, Sampling(max_new_tokens=8), batch_size=4, attempts=8
    )
    with pytest.raises(NothingUsableError, match="None of 8 texts"):
        generator.generate(4, folder=tmp_path, disable_tqdm=True)
    assert len(list(tmp_path.iterdir())) == 1
    with torch.no_grad():
        engine.model.lm_head.weight += 1e-3
    with pytest.raises(NothingUsableError, match="None of 8 texts"):
        generator.generate(4, folder=tmp_path, disable_tqdm=True)
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(ValueError, match="window is 128"):
        LanguageModelGenerator(engine, OpenQuestion(), examples, 1)


# Procedural


def test_procedural_problems_have_right_answers() -> None:
    config = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}
    batch = ProceduralGenerator("chain_sum", config).generate(12, seed=3)
    assert len(batch.accepted) == 12 and not batch.rejected
    for one in batch.accepted:
        assert str(eval(one.question.split(":")[-1].strip(" =.?"))) == one.answer == one.completion
    assert {one.source for one in batch.accepted} == {"reasoning-gym/chain_sum"}
    assert batch.accepted == ProceduralGenerator("chain_sum", config).generate(12, seed=3).accepted
    assert batch.accepted != ProceduralGenerator("chain_sum", config).generate(12, seed=4).accepted
    form = ProceduralGenerator("chain_sum", config, "\\boxed{{answer}}", conversational=True, system="s")
    row = form.generate(12, seed=3).accepted[0]
    assert row.response == f"\\boxed{{{row.answer}}}" and row.prompt[0] == {"role": "system", "content": "s"}
    assert row.question == batch.accepted[0].question


def test_procedural_wrong_answers_are_asked_for_and_marked() -> None:
    config = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2}
    batch = ProceduralGenerator("chain_sum", config, wrong=0.25).generate(12, seed=3)
    wrong = [
        str(eval(one.question.split(":")[-1].strip(" =.?"))) != one.answer == one.completion for one in batch.accepted
    ]
    assert wrong == [one.source.endswith("(wrong)") for one in batch.accepted] and sum(wrong) == 3
    for options, said in (
        ({"wrong": 2}, "wrong=2"),
        ({"completion": "x"}, "answer goes"),
        ({"system": "s", "conversational": False}, "system"),
    ):
        with pytest.raises(ValueError, match=said):
            ProceduralGenerator("chain_sum", config, **options)  # type: ignore[arg-type]


# Duplicates


def rows(*texts: str) -> list[Candidate]:
    return [Candidate(text, "x") for text in texts]


def test_duplicates_copies_and_leaks_are_counted_apart() -> None:
    story = "Tom has 3 red apples in a bag and he buys 4 more at the market. How many does he have?"
    near = story.replace("red ", "")
    batch = Batch(
        rows("What is 7 + 5?", "what is 7 +  5?", "What is 7 - 5?", story, near, "What is 1 + 1?", "Name a river."), []
    )
    after = remove_duplicates(batch, examples=rows("What is 1 + 1?"), validation=rows("NAME  a river.", "Why?"))
    assert [one.question for one in after.accepted] == ["What is 7 + 5?", "What is 7 - 5?", story]
    assert after.counts() == {
        "leakage: copy of a held-out row": 1,
        "duplicates: duplicate": 1,
        "duplicates: near-duplicate": 1,
        "duplicates: copy of an example": 1,
    }
    assert after.rejected[0].detail == "held-out row 0, Jaccard index 1.00"
    assert "candidate 0" in after.rejected[1].detail and "candidate 3" in after.rejected[2].detail
    told = {one.text.split("\n")[0]: one.reason for one in after.rejected}
    assert told[near] == "near-duplicate" and told["What is 1 + 1?"] == "copy of an example"
    strict = remove_duplicates(batch, threshold=1.0)
    assert strict.counts() == {"duplicates: duplicate": 1}


def test_a_leak_is_told_before_a_copy() -> None:
    story = "Tom has 3 red apples in a bag and he buys 4 more at the market. How many does he have?"
    after = remove_duplicates(Batch(rows(story), []), rows(story), rows(story.replace("red ", "")))
    assert after.counts() == {"leakage: near a held-out row": 1}
    with pytest.raises(ValueError, match="threshold=0"):
        remove_duplicates(Batch([], []), threshold=0)


@pytest.mark.parametrize(
    ("held_out", "candidate"),
    [
        ("Name a river.", "name a  river"),  # short: with the mark it would be half of the n-grams
        ("2 + 2", "2 + 2?"),
        ("法国的河流叫什么名字？", "法国的河流叫什么名字"),
        ("Name a river.", "Ｎａｍｅ a\nriver ."),
    ],
)
def test_a_leak_in_another_form(held_out: str, candidate: str) -> None:
    """A held-out row as messages with a system message, and twice among the candidates."""
    validation = [
        Candidate(
            [{"role": "system", "content": "Be brief."}, {"role": "user", "content": held_out}], MESSAGES.completion
        )
    ]
    batch = Batch(rows("What is 5!?", candidate, "Name a lake.", candidate, "What is 5?"), [])
    after = remove_duplicates(batch, validation=[*rows("Why?"), *validation], threshold=1.0)
    assert [one.question for one in after.accepted] == ["What is 5!?", "Name a lake.", "What is 5?"]
    assert after.counts() == {"leakage: copy of a held-out row": 2}
    assert {one.detail for one in after.rejected} == {"held-out row 1, Jaccard index 1.00"}


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 1.0])
def test_likeness_is_that_of_comparing_all_pairs(threshold: float) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abc"), rng.integers(0, 9))) for _ in range(150)]
    group = [0] * 20 + [1] * 20 + [2] * 110
    found = like_an_earlier(texts, group, threshold)

    def grams(text: str) -> set[tuple[str, ...]]:
        words = WORD.findall(text)
        return {tuple(words[k : k + 3]) for k in range(max(1, len(words) - 2))}

    kept: list[int] = []
    for row, text in enumerate(texts):
        likes = []
        for other in kept if KINDS[group[row]] == "candidate" else []:
            a, b = grams(text), grams(texts[other])
            jaccard = len(a & b) / len(a | b)
            if jaccard >= threshold:
                likes.append((group[other], normalized(text) != normalized(texts[other]), -jaccard, other))
        like = found[row]
        assert (like is None) == (not likes), text
        if like is None:
            kept.append(row)
        else:
            assert (group[like.row], not like.exact, -like.jaccard, like.row) == min(likes)
