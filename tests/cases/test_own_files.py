"""Own files and formats: read, or refused in one sentence, the same way by every command."""

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Done, command
from kit import GRPO, SCORE, SELECT, SFT, case
from make_data import turn, write


HUMAN, GPT = {"from": "human", "value": "q"}, {"from": "gpt", "value": "a b c"}
COMMANDS = {
    "sft": f"{SFT} --dry_run --output_dir out/x --dataset_name",
    "grpo": f"{GRPO} --dry_run --output_dir out/x --dataset_name",
    "score": f"{SCORE} --dry_run --out out/x.parquet --dataset_name",
    "select": f"{SELECT} --dry_run --output_dir out/x --candidates",
    "evolve": "evolve --config sft.yaml --dry_run --use_peft true --rounds 1 --candidates 4 --output_dir out/x "
    """--generators '{"file": {"path": "good.jsonl"}}' --dataset_name""",
}


def run(name: str, inputs: Path, path: str, *more: str) -> Done:
    return command([*shlex.split(COMMANDS[name]), path, *more], inputs)


def put(inputs: Path, name: str, *rows: dict[str, Any]) -> str:
    write(inputs / "own", list(rows), file=name)
    return f"own/{name}"


@pytest.mark.parametrize("name", ["R01", "R02", "N07", "F04a"])
def test_it_works(name: str, inputs: Path) -> None:
    done = case(name, inputs)
    assert done.code == 0, done.said


def test_a_training_on_conversations_of_sharegpt(inputs: Path) -> None:
    assert case("F03b", inputs).code == 0


def test_the_answer_is_not_in_the_prompt_that_is_scored(inputs: Path) -> None:
    (inputs / "out").mkdir(exist_ok=True)
    done = case("F03a", inputs)
    assert done.code == 0 and "It is" not in done.out, done.said
    rows = [json.loads(line) for line in (inputs / "f03_sharegpt/train.jsonl").read_text().splitlines()]
    names = {"from": "role", "value": "content", "human": "user", "gpt": "assistant"}
    same = [
        {"messages": [{names[k]: names.get(v, v) for k, v in one.items()} for one in row["conversations"]]}
        for row in rows
    ]
    path = put(inputs, "same.jsonl", *same)
    done = command([*shlex.split(SCORE), "--dataset_name", path, "--out", "out/same.parquet"], inputs)
    assert done.code == 0, done.said
    pd.testing.assert_frame_equal(*(pd.read_parquet(inputs / "out" / f"{one}.parquet") for one in ("f03", "same")))


def test_messages_in_evolve(inputs: Path) -> None:
    done = case("F12", inputs, "--dry_run")
    assert done.code == 0 and "trusted examples" in done.out, done.said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("F04b", ("f04_squad", "Row 0 (counted from 0)", "`answers` holds a dict")),
        ("F14", ("f14_surrogate.jsonl, line 41", "lone surrogate")),
        ("F16", ("1 of 8 rows of the dataset cannot be used", "(row 3)")),
        ("R06", ("data/pool_utf16/train.jsonl: this file is UTF-16: save it as UTF-8",)),
        ("R17", ("bad_line/train.jsonl, line 2 has a lone surrogate",)),
    ],
)
def test_one_sentence(name: str, words: tuple[str, ...], inputs: Path) -> None:
    sentence = case(name, inputs).sentence
    assert all(one in sentence for one in words), sentence


@pytest.mark.parametrize("name", COMMANDS)
def test_the_same_words_in_all_commands(name: str, inputs: Path) -> None:
    """Three of each kind: what is no role, no text, and no JSON."""
    role = put(inputs, "role.jsonl", {"conversations": [HUMAN, GPT]}, {"conversations": [HUMAN | {"from": "dm"}, GPT]})
    assert "unknown role 'dm' in message 0" in run(name, inputs, role).sentence
    text = put(inputs, "text.jsonl", {"prompt": {"q": 1}, "completion": "a"})
    assert "`prompt` holds a dict, {'q': 1}" in run(name, inputs, text).sentence
    (inputs / "own/bad.jsonl").write_text('{"prompt": "q", "completion": "a"}\n{nope\n')
    assert "bad.jsonl, line 2 is not JSON" in run(name, inputs, "own/bad.jsonl").sentence


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_every_format(name: str, inputs: Path) -> None:
    rows: dict[str, Any] = {
        "sharegpt": {"conversations": [HUMAN, GPT]},
        "messages": {"messages": [turn("user", "q"), turn("assistant", "a")]},
        "alpaca": {"instruction": "q", "input": "", "output": 7},
    }
    for kind, row in rows.items():
        done = run(name, inputs, put(inputs, f"{kind}.jsonl", row, row, row))
        assert done.code == 0, (kind, done.said)
    (inputs / "own/rows.csv").write_text("prompt,completion\nq,007\nr,NA\n")
    assert run(name, inputs, "own/rows.csv").code == 0
    if name == "grpo":
        assert "without their last answer, which is the column `answer`" in run(name, inputs, "own/messages.jsonl").out
