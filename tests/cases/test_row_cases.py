"""Rows that cannot be used, columns with a meaning, and rewards that cannot pay: each case, and two like it."""

import json
from pathlib import Path
from typing import Any

import make_data
import pandas as pd
import pytest
from kit import case


GRPO, SFT, SCORE = "F08a", "F08d", "F16"  # cases whose command reads another dataset here


def rows(inputs: Path, name: str, *lines: dict[str, Any]) -> tuple[str, ...]:
    """Arguments that make a case read these rows."""
    make_data.write(inputs / "more" / name, list(lines))
    return "--dataset_name", f"more/{name}"


def asked(*prompts: Any, **columns: list[Any]) -> list[dict[str, Any]]:
    others = {"answer": [str(k) for k in range(len(prompts))]} | columns
    return [{"prompt": p} | {name: values[k] for name, values in others.items()} for k, p in enumerate(prompts)]


def user(*texts: Any) -> list[dict[str, Any]]:
    return [make_data.turn("user", text) for text in texts]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("F08a", ("1 of 8 rows", "`prompt` is blank (row 5)")),
        ("F08b", ("1 of 8 rows", "`prompt` is null (row 5)")),
        ("F08c", ("1 of 8 rows", "System role not supported (row 5)")),
        ("F08d", ("1 of 8 rows", "`text` is null (row 3)")),
        ("F08e", ("1 of 8 rows", "`messages` is an empty conversation (row 3)")),
        ("F16", ("1 of 8 rows", "`prompt` is an empty conversation (row 3)")),
        ("R04", ("4 of 8 rows", "8 new tokens do not fit into 64 tokens (rows 0, 2, 4, 6; the first: 420 tokens)")),
        ("R05a", ("None of the 8 rows", "System role not supported")),
        ("R05b", ("None of the 8 rows", "System role not supported")),
        ("R13", ("a column 'labels'", "rename or remove")),
    ],
)
def test_a_sentence_before_anything_is_trained(inputs: Path, name: str, words: tuple[str, ...]) -> None:
    sentence = case(name, inputs).sentence
    assert all(part in sentence for part in words), sentence
    assert "unusable_rows: leave_out" in sentence or "of 8" not in sentence or "None" in sentence
    assert not list((inputs / "out").glob(f"{name.lower()}/curriculum_history*"))


@pytest.mark.parametrize("name", ["F08a", "F08c", "F08e", "F16"])
def test_rows_are_left_out_and_counted(inputs: Path, name: str) -> None:
    more = ("--max_steps", "2") if name != "F16" else ()
    done = case(name, inputs, "--unusable_rows", "leave_out", *more)
    assert done.code == 0, done.said
    assert done.err.count("1 of 8 rows") == 1 and "They are left out" in done.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (asked("a", " \n", "\u200b"), "`prompt` is blank (rows 1, 2)"),
        (asked(user("a"), [], user("c")), "`prompt` is an empty conversation (row 1)"),
        (
            asked(user("a"), [{"role": "user"}], user("c")),
            "Row 1 (counted from 0): `prompt` has message 0",
        ),
        (asked(user("a"), [{"content": "b"}], user("c")), "Row 1 (counted from 0): `prompt` holds a list"),
        (asked(user("a"), user(" "), user("c")), "`prompt` ends with a blank message (row 1)"),
        (asked("a", "b" * 600, "c"), "do not fit into 512 tokens (row 1: 600 tokens)"),
        ([{"question": "a", "answer": "1"}], "'prompt'"),
        (asked("a", "b", completions=["x", "y"]), "a column 'completions'"),
        (asked("a", "b", trainer_state=["x", "y"]), "a column 'trainer_state'"),
        (asked("a", "b", answer=[{"text": ["x"]}] * 2), "reads right answers in the column 'answer'"),
    ],
)
def test_grpo(inputs: Path, lines: list[dict[str, Any]], words: str) -> None:
    assert words in case(GRPO, inputs, *rows(inputs, "grpo", *lines)).sentence


def test_grpo_checks_the_rows_of_the_evaluation_too(inputs: Path) -> None:
    given = rows(inputs, "evaluated", *asked("a", "b", "c", "d"))
    make_data.write(inputs / "more" / "evaluated", asked("e", "", "f", "g"), file="test.jsonl")
    evaluated = (*given, "--eval_strategy", "steps", "--eval_steps", "2", "--max_steps", "2")
    assert (
        "the evaluation dataset cannot be used: `prompt` is blank (row 1)" in case(GRPO, inputs, *evaluated).sentence
    )


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"text": "a"}, {"text": " "}], "`text` is blank (row 1)"),
        ([{"messages": user("a")}, {"messages": None}], "`messages` is null (row 1)"),
        ([{"messages": user("a")}, {"messages": user(None)}], "`messages` has a message without content (row 1)"),
        ([{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": None}], "`completion` is null (row 1)"),
        ([{"text": "a", "attention_mask": [1]}], "a column 'attention_mask'"),
        ([{"text": "a", "images": ["cat.png"]}] * 2, "The column 'images'"),
    ],
)
def test_sft(inputs: Path, lines: list[dict[str, Any]], words: str) -> None:
    assert words in case(SFT, inputs, *rows(inputs, "sft", *lines)).sentence


def test_numbers_are_prompts_and_texts(inputs: Path) -> None:
    assert case(GRPO, inputs, *rows(inputs, "numbers", *asked(1, 2, 3)), "--max_steps", "1").code == 0
    assert case(SFT, inputs, *rows(inputs, "texts", {"text": 1}, {"text": 2}), "--max_steps", "1").code == 0


def test_sft_rows_of_which_nothing_is_trained_on(inputs: Path) -> None:
    lines = [{"prompt": "ab" if k % 2 else "ab" * 200, "completion": "c"} for k in range(6)]
    given = rows(inputs, "masked", *lines)
    assert "no token of it is trained on" in case(SFT, inputs, *given).sentence
    done = case(SFT, inputs, *given, "--unusable_rows", "leave_out")
    assert done.code == 0 and "max_length=256 (rows 0, 2, 4). They are left out" in done.err


def test_an_empty_column_of_images_is_no_images(inputs: Path) -> None:
    done = case("R10", inputs)
    assert done.code == 0 and "The column 'images' of the training dataset is empty" in done.err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{"prompt": "a"}, {"prompt": None}], "`prompt` is null (row 1)"),
        (
            [{"messages": [make_data.turn("assistant", "a")]}, {"messages": user("b")}],
            "an empty conversation (row 0)",
        ),
        ([{"text": "a"}], "prompt"),
    ],
)
def test_score(inputs: Path, lines: list[dict[str, Any]], words: str) -> None:
    given = (*rows(inputs, "score", *lines), "--out", "out/refused.parquet")
    assert words in case(SCORE, inputs, *given).sentence


def test_select_and_evolve(inputs: Path) -> None:
    system = [make_data.turn("system", "s"), *user("q")]
    answer = [make_data.turn("assistant", "a")]
    lines = [{"prompt": user(f"q{k}?") if k != 3 else system, "completion": answer} for k in range(32)]
    make_data.write(inputs / "more" / "pool", lines)
    select = ("--candidates", "more/pool/train.jsonl", "--model_name_or_path", "models/nosys")
    refused = case("F14", inputs, *select)
    assert "1 of 32 rows of the candidates cannot be used" in refused.sentence
    assert "System role not supported (row 3)" in refused.sentence
    half = [json.dumps({"prompt": f"q{k}", "completion": "a \ud83d" if k == 5 else f"a{k}"}) for k in range(32)]
    (inputs / "more" / "half.jsonl").write_text("\n".join(half))
    assert "line 6 has a lone surrogate" in case("F14", inputs, "--candidates", "more/half.jsonl").sentence


def test_select_keeps_the_places_of_the_users_pool(inputs: Path) -> None:
    system = [make_data.turn("system", "s"), *user("q")]
    answer = [make_data.turn("assistant", "a")]
    broken = {1: None, 2: [], 4: user(None), 5: system, 9: [{"role": "critic", "content": "x"}]}
    lines = [
        {
            "prompt": broken.get(k, user(f"{k} apples and {k} pears?")),
            "completion": answer,
            "source": "ab"[k % 2],
            "mine": f"row-{k}",
        }
        for k in range(32)
    ]
    make_data.write(inputs / "more" / "places", lines)
    given = ("--candidates", "more/places/train.jsonl", "--model_name_or_path", "models/nosys")
    done = case("F14", inputs, *given, "--unusable_rows", "leave_out", "--output_dir", "out/places", "--keep", "20")
    assert done.code == 0, done.said
    assert "System role not supported (row 5)" in done.err
    kept = pd.read_parquet(inputs / "out/places/evoselect/selected.parquet")
    assert len(kept) == 20 and not set(kept["row"]) & set(broken)
    assert kept["mine"].tolist() == [f"row-{k}" for k in kept["row"]]
    asked = [prompt[-1]["content"] for prompt in kept["prompt"]]
    assert asked == [f"{k} apples and {k} pears?" for k in kept["row"]]


# Rewards


def test_golds_that_are_whole_solutions_are_read(inputs: Path) -> None:
    done = case("F02b", inputs)
    assert done.code == 0 and "right answers of the dataset" not in done.err


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        (["so it is\n4.", "hence\n5."], "exact_match pays none of 2 right answers"),
        (["4", "so\n5"], "exact_match pays 1 of 2 right answers"),
    ],
)
def test_golds_without_a_short_answer_are_warned_of(inputs: Path, answers: list[str], words: str) -> None:
    done = case(GRPO, inputs, *rows(inputs, "unread", *asked("a", "b", answer=answers)), "--max_steps", "1")
    assert done.code == 0 and done.err.count(words) == 1 and "no short answer can be read" in done.err


def test_a_reward_that_pays_no_gold_is_refused(inputs: Path) -> None:
    given = rows(inputs, "letters", *asked("a", "b", answer=["B) Paris", "C) Rome"]))
    argv = (*given, "--reward_funcs", "multiple_choice_accuracy")
    sentence = case(GRPO, inputs, *argv).sentence
    assert "multiple_choice_accuracy pays none of 2 right answers" in sentence and "row 0, 'B) Paris'" in sentence


def test_rewards_that_are_alike_for_long_are_warned_of_once(inputs: Path) -> None:
    given = rows(inputs, "hard", *asked(*"abcd", answer=["never written"] * 4))
    done = case(GRPO, inputs, *given, "--max_steps", "3")
    assert done.err.count("exact_match gave 0 to all of the first 12 rollouts") == 1
    assert "gold 'never written'" in done.err


@pytest.mark.parametrize(
    ("returns", "words"),
    [
        ("None", "returned None for 4 completions"),
        ("[1.0]", "returned 1 numbers for 4 completions"),
        ("[1.0] * 3 + [float('inf')]", "returned inf for a completion of row"),
        ("['x'] * 4", "returned a str, 'x' for a completion of row"),
    ],
)
def test_what_a_reward_returns(inputs: Path, returns: str, words: str) -> None:
    (inputs / "own_rewards.py").write_text(f"def mine(completions, **kwargs): return {returns}\n")
    own = (*rows(inputs, "own", *asked(*"abcd")), "--reward_funcs", "own_rewards.mine")
    sentence = case(GRPO, inputs, *own).sentence
    assert "The reward 'mine' " in sentence and words in sentence
    (inputs / "own_rewards.py").write_text("def mine(completions, **kwargs): return [1.0, float('nan')] * 2\n")
    if "inf" in words:
        done = case(GRPO, inputs, *own, "--max_steps", "2")
        assert done.code == 0 and done.err.count("The reward 'mine' returned nan for a completion of row") == 1
