"""Rows in any format become TRL's, or are refused with their row."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from trl import DatasetMixtureConfig
from trl.scripts.utils import DatasetConfig

from trl_curriculum.data.common import in_common
from trl_curriculum.data.convert import to_examples, to_prompts
from trl_curriculum.data.formats import (
    answer_of,
    conversation_of,
    example_of,
    prompt_of,
    to_completion,
    to_messages,
    to_text,
    with_known_names,
)
from trl_curriculum.generators import load
from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.scripts.data import load_examples, load_prompts


USER, ASSISTANT, SYSTEM = ({"role": r, "content": r[0]} for r in ("user", "assistant", "system"))
SHARE = [{"from": "human", "value": "u"}, {"from": "gpt", "value": "a"}]


def write(path: Path, content: str) -> Path:
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def args(path: Path, **given: Any) -> CurriculumScriptArguments:
    return CurriculumScriptArguments(dataset_name=str(path), **given)


def examples(path: Path, completion_column: str | None = None, **given: Any) -> list[dict[str, Any]]:
    return list(load_examples(args(path, **given), DatasetMixtureConfig(), 0, completion_column)[0])


def prompts(path: Path, **given: Any) -> list[dict[str, Any]]:
    return list(load_prompts(args(path, **given), DatasetMixtureConfig(), 0)[0])


# One row


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("human", "user"),
        ("User", "user"),
        ("gpt", "assistant"),
        ("ChatGPT", "assistant"),
        ("bing", "assistant"),
        ("model", "assistant"),
        ("system", "system"),
        ("observation", "tool"),
        ("tool", "tool"),
    ],
)
def test_roles_by_any_name(name: str, role: str) -> None:
    assert to_messages([{"from": name, "value": "x"}], "m") == [{"role": role, "content": "x"}]
    assert to_messages([{"role": name, "content": "x"}], "m") == [{"role": role, "content": "x"}]


def test_what_else_a_message_has_survives() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]}
    tool = {"role": "tool", "content": "3", "name": "f"}
    assert to_messages([USER, call, tool], "m") == [USER, call, tool]
    assert to_messages([SHARE[0], SHARE[1] | {"weight": 0}], "m")[1] == ASSISTANT | {"weight": 0}
    parts = [{"type": "text", "text": "x"}]
    assert to_messages([{"role": "user", "content": parts}], "m")[0]["content"] == parts


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([{"from": "narrator", "value": "x"}], "m has the unknown role 'narrator' in message 0"),
        ([USER, {"role": 3, "content": "x"}], "m has the unknown role 3 in message 1"),
        ([{"role": "user", "text": "x"}], r"m has message 0 without `content` \(or `value`\), only role, text"),
        (["x"], "m holds 'x' as message 0"),
        ("x", "m holds 'x', not a list"),
        ([{"role": "user", "content": {"a": 1}}], "m, message 0, holds a dict"),
        ([{"role": "user", "content": ["a"]}], "m, message 0, holds a list"),
    ],
)
def test_what_is_no_conversation(messages: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        to_messages(messages, "m")


@pytest.mark.parametrize(
    ("value", "text"),
    [(72, "72"), (2.5, "2.5"), (1.0, "1.0"), (True, "true"), ("NA", "NA"), (None, None), (float("nan"), None)],
)
def test_numbers_are_texts_as_a_file_shows_them(value: Any, text: str | None) -> None:
    assert to_text(value, "x") == text


@pytest.mark.parametrize("value", [["a"], {"text": ["a"]}, [], [[1]]])
def test_lists_and_mappings_are_no_texts(value: Any) -> None:
    with pytest.raises(ValueError, match=f"x holds a {type(value).__name__}, "):
        to_text(value, "x")


def test_the_last_turn_of_a_chosen_conversation_is_the_answer() -> None:
    assert to_completion([USER, ASSISTANT], "c") == to_completion([ASSISTANT], "c") == [ASSISTANT]
    assert to_completion(SHARE, "c") == [ASSISTANT]
    with pytest.raises(ValueError, match="c ends with the turn of 'user'"):
        to_completion([ASSISTANT, USER], "c")
    with pytest.raises(ValueError, match="c holds a conversation of several turns"):
        to_completion([USER, ASSISTANT, USER, ASSISTANT], "c")


@pytest.mark.parametrize(
    ("row", "prompt", "completion", "answer"),
    [
        ({"prompt": "q", "completion": "a"}, "q", "a", "a"),
        ({"prompt": [USER], "completion": [ASSISTANT]}, [USER], [ASSISTANT], "a"),
        ({"prompt": "u", "completion": [ASSISTANT]}, [USER], [ASSISTANT], "a"),
        ({"messages": [SYSTEM, USER, ASSISTANT]}, [SYSTEM, USER], [ASSISTANT], "a"),
        ({"conversations": SHARE}, [USER], [ASSISTANT], "a"),
        ({"prompt": None, "completion": None, "conversations": SHARE}, [USER], [ASSISTANT], "a"),
        ({"instruction": "q", "input": "x", "output": "a"}, "q\n\nx", "a", "a"),
        ({"instruction": "q", "input": "", "output": 7}, "q", "7", "7"),
        ({"instruction": "q", "output": "a"}, "q", "a", "a"),
        ({"messages": []}, None, None, None),
        ({"text": "x"}, None, None, None),
    ],
)
def test_every_format_has_a_prompt_and_an_answer(row: Any, prompt: Any, completion: Any, answer: Any) -> None:
    assert example_of(row) == (prompt, completion)
    if "instruction" not in row:  # whose columns a dataset may have beside what is trained on
        assert answer_of(row) == answer
        assert prompt_of(row) in (prompt, row.get("prompt"))


# Datasets


def test_what_is_clean_stays_as_it_is() -> None:
    for row in ({"messages": [USER, ASSISTANT]}, {"prompt": [USER], "completion": [ASSISTANT]}, {"text": "x"}):
        dataset = Dataset.from_list([row | {"level": 1}])
        assert to_examples(dataset)._fingerprint == dataset._fingerprint
    dataset = Dataset.from_list([{"prompt": "q", "answer": "a"}])
    assert to_prompts(dataset)._fingerprint == dataset._fingerprint


def test_an_unknown_role_is_named_with_its_row() -> None:
    for key, name in (("role", "messages"), ("from", "conversations")):
        turns = [[{key: role, "content": "x"}] for role in ("user", "narrator")]
        dataset = Dataset.from_list([{name: turn} for turn in turns])
        with pytest.raises(ValueError, match=rf"Row 1 \(counted from 0\): `{name}` has the unknown role 'narrator'"):
            to_examples(dataset)


def test_sharegpt_is_one_format_for_all(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", lines(*[{"conversations": SHARE, "id": k} for k in range(2)]))
    assert examples(path)[1] == {"messages": [USER, ASSISTANT], "id": 1}
    assert prompts(path)[1] == {"prompt": [USER], "answer": "a", "id": 1}
    candidate = load(path)[1]
    assert (candidate.prompt, candidate.completion) == ([USER], [ASSISTANT])


def test_alpaca(tmp_path: Path) -> None:
    rows = [{"instruction": "q", "input": "x" * k, "output": "a"} for k in range(2)]
    path = write(tmp_path / "rows.jsonl", lines(*rows))
    made = examples(path, system_prompt="s")
    assert [row["prompt"] for row in made] == [[SYSTEM, USER | {"content": text}] for text in ("q", "q\n\nx")]
    assert made[0]["completion"] == [ASSISTANT]
    made = prompts(path, instruction="")
    assert made[1]["prompt"] == [USER | {"content": "q\n\nx"}] and made[1]["answer"] == "a"
    assert load(path)[1].prompt == "q\n\nx"


def test_conversations_become_prompts(tmp_path: Path) -> None:
    turns = [[USER, ASSISTANT], [USER, ASSISTANT, USER], [ASSISTANT], []]
    path = write(tmp_path / "rows.jsonl", lines(*[{"messages": one} for one in turns]))
    assert [row["prompt"] for row in prompts(path)] == [[USER], turns[1], [], []]


def test_columns_hold_texts_numbers_or_messages(tmp_path: Path) -> None:
    row = {"q": 1, "c": [USER, ASSISTANT], "d": {"text": ["a"]}, "n": 2.5, "m": [USER]}
    path = write(tmp_path / "rows.jsonl", lines({**row, "d": row["d"]}, row))
    for column, answer in (("c", "a"), ("n", "2.5")):
        made = examples(path, column, prompt_column="q")[0]
        assert made["prompt"] == [USER | {"content": "1"}] and made["completion"] == [ASSISTANT | {"content": answer}]
    assert examples(path, "n", prompt_column="m")[0]["prompt"] == [USER]
    with pytest.raises(ValueError, match=rf"{path}, split 'train': Row 0 \(counted from 0\): `d` holds a dict"):
        examples(path, "d", prompt_column="q")
    with pytest.raises(ValueError, match="`d` holds a dict"):
        prompts(path, prompt_column="d")
    with pytest.raises(ValueError, match="`d` holds a dict"):
        prompts(path, prompt_column="q", context_column="d")


def test_numbers_and_nulls_in_trls_own_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", lines({"prompt": "q", "completion": 1}, {"prompt": None, "completion": 2.5}))
    assert examples(path) == [{"prompt": "q", "completion": "1"}, {"prompt": None, "completion": "2.5"}]
    write(path, lines({"text": 1}, {"text": 2}))
    assert examples(path) == [{"text": "1"}, {"text": "2"}]
    write(path, lines({"text": ["a"]}))
    with pytest.raises(ValueError, match="`text` holds a list"):
        examples(path)


def test_rows_of_several_formats(tmp_path: Path) -> None:
    rows = [{"messages": [USER, ASSISTANT]}, {"prompt": "u", "completion": "a"}, {"conversations": SHARE}]
    path = write(tmp_path / "rows.jsonl", lines(*rows))
    assert examples(path) == [{"messages": [USER, ASSISTANT]}] * 3
    write(path, lines({"prompt": "u", "completion": "a"}, {"prompt": [USER], "completion": [ASSISTANT]}))
    assert examples(path) == [{"prompt": [USER], "completion": [ASSISTANT]}] * 2
    write(path, lines({"prompt": "q", "completion": "a", "messages": None}))
    assert examples(path) == [{"prompt": "q", "completion": "a"}]


def test_what_has_no_effect_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", lines({"messages": [USER, ASSISTANT], "q": "x"}))
    for read in (examples, prompts):
        for name in ("system_prompt", "instruction"):
            with pytest.raises(ValueError, match=f"{name}='s' has no effect on rows that have"):
                read(path, **{name: "s"})  # type: ignore[operator]
    with pytest.raises(ValueError, match=r"prompt_column='q' .*: set `completion_column`"):
        examples(path, prompt_column="q")


def test_tool_calls_are_not_lost_silently(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": "x", "tool_calls": [{"name": "f"}]}
    path = write(tmp_path / "rows.jsonl", lines({"messages": [USER, call]}))
    assert examples(path)[0]["messages"] == [USER, call]
    with pytest.raises(ValueError, match="line 1: a message has `tool_calls`"):
        load(path)


# Mixtures


def mixed(folder: Path, prompts_only: bool = False, **given: Any) -> list[dict[str, Any]]:
    entries = [DatasetConfig(path=str(path)) for path in sorted(folder.iterdir())]
    mixture, script_args = DatasetMixtureConfig(datasets=entries), CurriculumScriptArguments(**given)
    read = load_prompts if prompts_only else load_examples
    return list(read(script_args, mixture, 0)[0])


def test_sources_of_different_formats(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"messages": [USER, ASSISTANT]}))
    write(tmp_path / "b.jsonl.gz", lines({"prompt": "u", "completion": "a"}))
    write(tmp_path / "c.json", json.dumps([{"conversations": SHARE}]))
    write(tmp_path / "d.csv", "instruction,output\nu,a\n")
    assert mixed(tmp_path) == [{"messages": [USER, ASSISTANT], "source": source} for source in "abcd"]
    made = mixed(tmp_path, prompts_only=True, instruction="")
    assert [row["prompt"] for row in made] == [[USER]] * 4
    assert [row["answer"] for row in made] == ["a", None, "a", "a"]


def test_sources_without_a_common_format_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", lines({"messages": [USER, ASSISTANT]}))
    write(tmp_path / "b.jsonl", lines({"text": "x"}))
    with pytest.raises(ValueError, match="Source 'b' has whole texts, and source 'a' messages"):
        mixed(tmp_path)
    write(tmp_path / "b.jsonl", lines({"conversations": [{"from": "narrator", "value": "x"}]}))
    with pytest.raises(ValueError, match=r"Source 'b': Row 0 .* unknown role 'narrator'"):
        mixed(tmp_path)


def test_columns_of_sources_have_one_type() -> None:
    def part(**row: Any) -> Dataset:
        return Dataset.from_list([{"prompt": "q", "completion": "a", **row}])

    both = in_common({"a": part(n=1, m=1, only=1), "b": part(n="x", m=2.5)}, False)
    assert [row[name] for row in (both["a"][0], both["b"][0]) for name in ("n", "m")] == ["1", 1, "x", 2.5]
    assert both["a"].features["n"] == both["b"].features["n"] and both["a"].features["m"] == both["b"].features["m"]
    with pytest.raises(ValueError, match=r"The column 'n' is .* in source 'a' and .* in source 'b'"):
        in_common({"a": part(n=1), "b": part(n=["x"])}, False)


def test_slices_columns_and_fractions_of_own_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines(*[{"text": f"{k}", "id": k} for k in range(10)]))
    saved = tmp_path / "saved"
    Dataset.from_list([{"text": "s", "id": "x"}] * 4).save_to_disk(saved)
    entries = [
        DatasetConfig(path=str(path), split="train[2:8]", columns=["text"], fraction=0.5),
        DatasetConfig(path=str(saved), columns=["text"], fraction=0.5),
    ]
    rows = load_examples(CurriculumScriptArguments(), DatasetMixtureConfig(datasets=entries), 0)[0]
    assert rows["text"][:] == ["2", "3", "4", "5", *"ssss"]
    entries[0].split = "test"
    with pytest.raises(ValueError, match="has no split 'test', only train: set its `split`"):
        load_examples(CurriculumScriptArguments(), DatasetMixtureConfig(datasets=entries), 0)
    entries[0].split, entries[0].fraction = "train", None
    with pytest.raises(ValueError, match="`fraction` is set for some datasets"):
        load_examples(CurriculumScriptArguments(), DatasetMixtureConfig(datasets=entries), 0)


def test_a_blank_question_is_no_prompt(tmp_path: Path) -> None:
    """What is appended to questions must not hide that there is none."""
    rows = [{"q": " ", "c": "x", "a": "1"}, {"q": None, "c": "x", "a": "1"}, {"q": "u", "c": None, "a": "1"}]
    path = write(tmp_path / "rows.jsonl", lines(*rows))
    for given in ({}, {"context_column": "c"}):
        assert [row["prompt"] for row in prompts(path, prompt_column="q", instruction="", **given)] == [
            None,
            None,
            [USER],
        ]
    assert [row["prompt"] for row in examples(path, "a", prompt_column="q", instruction="Be brief.")][:2] == [
        None,
        None,
    ]


def test_columns_of_other_formats(tmp_path: Path) -> None:
    row = {"messages": [USER, ASSISTANT], "text": "t", "output": "mine", "instruction": "i"}
    made = examples(write(tmp_path / "rows.jsonl", lines(row)))[0]
    assert made == {name: row[name] for name in ("messages", "output", "instruction")}


@pytest.mark.parametrize(
    ("options", "right", "shown"),
    [([3, 5], 1, "5"), ([3, 5], "5", "5"), (["x", "y"], "1", "y"), ([0.5, True], 0, "0.5")],
)
def test_options_may_be_numbers(options: Any, right: Any, shown: str, tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", lines({"q": "u", "o": options, "r": right}))
    made = prompts(path, prompt_column="q", options_column="o", right_option_column="r")[0]
    assert made["right_text"] == shown


# The roles, the cut and the nulls that look alike and are not


def test_a_developer_is_not_the_system() -> None:
    """Templates that know the role render it in its own way."""
    assert to_messages([{"role": "Developer", "content": "d"}], "m") == [{"role": "developer", "content": "d"}]


TURNS = [USER, ASSISTANT, {"role": "user", "content": "v"}, {"role": "assistant", "content": "b"}]


def test_a_conversation_of_several_turns_is_cut_before_its_last_answer() -> None:
    row = {"messages": TURNS}
    assert prompt_of(row) == TURNS[:3] and answer_of(row) == "b" and example_of(row) == (TURNS[:3], TURNS[3:])
    assert prompt_of({"messages": TURNS[:3]}) == [USER] and answer_of({"messages": TURNS[:3]}) == "a"
    assert prompt_of({"messages": [USER]}) == [USER] and answer_of({"messages": [USER]}) is None


def test_a_conversation_that_waits_for_an_answer_is_a_prompt_as_it_is(tmp_path: Path) -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "f"}]}
    used = [USER, call, {"role": "tool", "content": "3"}]
    path = write(tmp_path / "rows.jsonl", lines({"messages": used}, {"messages": TURNS}))
    assert [row["prompt"] for row in prompts(path)] == [used, TURNS[:3]]


@pytest.mark.parametrize("null", ["role and content", "from and value"])
def test_one_table_of_both_spellings(null: str) -> None:
    """Arrow gives all messages all keys: a null under one name is no message without it."""
    ours, theirs = {"role": "user", "content": "u"}, {"from": "human", "value": "u"}
    both = (
        {"role": None, "content": None, **theirs}
        if null == "role and content"
        else {**ours, "from": None, "value": None}
    )
    assert to_messages([both], "m") == [USER] == with_known_names([both])
    assert conversation_of({"conversations": [both]}) == [USER]


def test_messages_of_both_spellings_in_one_table_become_ours() -> None:
    keys = ("role", "content", "from", "value")
    turns = [USER, ASSISTANT, *SHARE]
    dataset = Dataset.from_list([{"messages": [dict.fromkeys(keys) | turn for turn in turns]}])
    assert dataset[0]["messages"][0].keys() == set(keys)
    assert to_examples(dataset)[0]["messages"] == [USER, ASSISTANT] * 2
    half = [{"role": "user", "content": None, "value": "u"}, ASSISTANT | {"value": None}]  # one name of two
    assert to_examples(Dataset.from_list([{"messages": half}]))[0]["messages"] == [USER, ASSISTANT]


def test_prompts_that_are_null_come_from_the_conversations_beside_them() -> None:
    rows = [{"prompt": "q", "messages": None}, {"prompt": None, "messages": [USER, ASSISTANT]}]
    made = to_prompts(Dataset.from_list(rows))
    assert made["prompt"][:] == [[USER | {"content": "q"}], [USER]] and made["answer"][:] == [None, "a"]


def test_a_blank_input_is_none() -> None:
    assert example_of({"instruction": "q", "input": " \n", "output": "a"}) == ("q", "a")


def test_what_became_a_conversation_or_an_answer_is_there_once() -> None:
    rows = [{"prompt": "u", "completion": "a", "conversations": None}, {"conversations": SHARE}]
    assert list(to_examples(Dataset.from_list(rows))) == [{"messages": [USER, ASSISTANT]}] * 2
    own = Dataset.from_list([{"messages": [USER, ASSISTANT], "answer": "mine"}])
    assert list(to_prompts(own)) == [{"prompt": [USER], "answer": "mine"}]
