"""Which rows cannot be used, why, and in which words."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny
from datasets import Dataset
from transformers import LlamaConfig

from trl_curriculum.data.rendered import check_prompts, first_prompt, window_of
from trl_curriculum.data.reserved import (
    REWARD_ARGUMENTS,
    TOKENS,
    refuse_reward_arguments,
    refuse_tokens_without_ids,
    without_images,
)
from trl_curriculum.data.rows import Rows, form_flaws, settle, spell, text_flaw
from trl_curriculum.data.unusable import check_choice


def turns(*texts: Any, roles: tuple[Any, ...] = ("user", "assistant")) -> list[dict[str, Any]]:
    return [{"role": roles[k % len(roles)], "content": text} for k, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is null"),
        ("", "is blank"),
        (" \n\t", "is blank"),
        ("\u200b\ufeff", "is blank"),
        ("half \ud83d", "half a character"),
        (3, "is of type int, not a text | '3'"),
        ({"text": "a"}, "is of type dict, not a text"),
        ([], "an empty conversation"),
        ([1, 2], "a list of int"),
        (["a"], "a list of str"),
        ([None, {"role": "user", "content": "a"}], "has a message that is None"),
        ([{"content": "a"}], "without a role"),
        ([{"role": " ", "content": "a"}], "without a role"),
        ([{"role": "user"}], "without content"),
        ([{"role": "user", "content": []}], "without content"),
        (turns("a", None), "without content"),
        (turns("a", " "), "ends with a blank message"),
        (turns("a", " ", "b", "c"), "has a blank message of the assistant"),
        (turns("a", " ", "b", roles=("human", "gpt")), "has a blank message of the gpt"),
        (turns(" ", "b", roles=("human", "gpt")), "has a blank message of the human"),
        (turns("a", 3), "whose content is of type int"),
        (turns("a", ["b"]), "whose content is a list of str"),
        (turns("half \ud83d"), "half a character"),
    ],
)
def test_what_is_no_text_and_no_conversation(value: Any, why: str) -> None:
    flaw = text_flaw(value, "prompt")
    assert flaw is not None and flaw.startswith("`prompt` ") and why in flaw


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "\u200bq",
        turns("", "q", roles=("system", "user")),  # an empty system message is common
        turns("q", "", "a", roles=("user", "tool", "assistant")),  # a tool may return nothing
        turns([{"type": "text", "text": "q"}]),
        [*turns("q"), {"role": "assistant", "content": None, "tool_calls": [{"type": "function"}]}],
        [{"from": "human", "value": "q"}],
    ],
)
def test_what_is_one(value: Any) -> None:
    assert text_flaw(value, "prompt") is None


def test_rows_of_a_dataset() -> None:
    data = Dataset.from_list(
        [
            {"prompt": turns("q"), "completion": turns("a", roles=("assistant",)), "answer": "1"},
            {"prompt": None, "completion": turns("a"), "answer": "2"},
            {"prompt": turns("q"), "completion": turns(" "), "answer": None},
            {"prompt": turns("q"), "completion": turns("a"), "answer": None},
        ]
    )
    assert form_flaws(data, ["prompt", "completion"]) == {
        1: "`prompt` is null",
        2: "`completion` ends with a blank message",
    }
    assert form_flaws(data, ["prompt"], ["answer"]) == {
        1: "`prompt` is null",
        2: "`answer` is null",
        3: "`answer` is null",
    }
    assert form_flaws(data, []) == {}
    mixed = Dataset.from_dict({"prompt": ["q"], "completion": [turns("a")]})
    assert form_flaws(mixed, ["prompt", "completion"]) == {0: "`prompt` and `completion` are a text and messages"}
    numbers = Dataset.from_dict({"text": ["a", "b"], "answer": [1, 2.5]})
    assert form_flaws(numbers, ["text"], ["answer"]) == {}


def test_another_form_than_the_first_row() -> None:
    rows = [{"prompt": None}, {"prompt": "q"}, {"prompt": turns("q")}]  # as a transform may give them
    plain = SimpleNamespace(select_columns=lambda names: Given(rows))
    assert form_flaws(plain, ["prompt"]) == {  # type: ignore[arg-type]
        0: "`prompt` is null",
        2: "`prompt` is a conversation, and that of row 1 a text",
    }


class Given:
    """Rows of several types, which tables do not hold."""

    format = {"type": "custom"}

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> dict[str, list[Any]]:
        return {name: [row[name] for row in self.rows[part]] for name in self.rows[0]}


def test_what_a_row_hands_to_the_chat_template() -> None:
    data = Dataset.from_dict({"messages": [turns("q", "a")] * 3, "tools": ["[]", "{", None]})
    assert form_flaws(data, ["messages"]) == {}, "only where it is read"
    with_tools = data.add_column("chat_template_kwargs", [{"a": 1}, {"a": 2}, None])
    found = form_flaws(with_tools, ["messages"], options=["tools", "chat_template_kwargs"])
    assert found == {1: "`tools` is a text that is not JSON", 2: "`chat_template_kwargs` is None, not a mapping"}


class TestWords:
    def test_a_sentence_has_count_rows_reasons_and_a_way_out(self) -> None:
        flaws = dict.fromkeys(range(7), "it is blank") | {9: "it is long | 420 tokens"}
        with pytest.raises(ValueError) as error:
            settle(flaws, 20, 12, "the pool")
        assert str(error.value) == (
            "8 of 20 rows of the pool cannot be used: it is blank (rows 0, 1, 2, 3, 4, … 7 in all); it is long (row "
            "9: 420 tokens). Mend them, or leave them out with unusable_rows: leave_out."
        )
        assert spell({3: "long | 9", 5: "long | 8"}) == "long (rows 3, 5; the first: 9)"

    def test_rows_that_are_left_out_are_warned_of_by_one_process(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            settle({1: "it is blank"}, 3, 2, "the pool", "leave_out", speak=False)
            assert not caplog.records
            settle({1: "it is blank"}, 3, 2, "the pool", "leave_out")
        assert caplog.messages == ["1 of 3 rows of the pool cannot be used: it is blank (row 1). They are left out."]

    def test_nothing_is_left(self) -> None:
        with pytest.raises(ValueError, match="None of the 1 rows of the pool can be used: it is blank"):
            settle({0: "it is blank"}, 1, 0, "the pool", "leave_out")

    def test_the_choice(self) -> None:
        with pytest.raises(ValueError, match="unusable_rows='drop' is neither 'refuse' nor 'leave_out'"):
            check_choice("drop")

    def test_places_are_the_users_also_after_a_second_check(self) -> None:
        rows = Rows.of(Dataset.from_dict({"k": list(range(6))}), "the pool", "leave_out")
        left = rows.without({0: "a", 3: "a"}).without({1: "b"})
        assert left.position.tolist() == [1, 4, 5] and left.dataset["k"][:] == [1, 4, 5]
        with pytest.raises(ValueError, match=r"1 of 6 rows of the pool cannot be used: c \(row 4\)"):
            Rows(left.dataset, left.position, 6, "the pool").without({1: "c"})


class TestPrompts:
    def tokens(self, prompts: list[Any]) -> list[list[int]]:
        tokenizer = tiny.tokenizer()
        tokenizer.chat_template = (
            "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
            "{% for m in messages %}{{ m['content'] }}{% endfor %}"
        )
        return tokenizer.apply_chat_template(prompts, return_dict=True)["input_ids"]

    def test_refused_by_the_template_empty_or_too_long(self) -> None:
        prompts = [
            turns("ab"),
            turns("s", "q", roles=("system", "user")),
            turns(""),
            turns("abcdefg"),
            turns("abcdef"),
        ]
        for batch in (1, 2, 8):
            flaws, length = check_prompts(prompts, self.tokens, window=8, new_tokens=2, batch=batch)
            assert flaws == {
                1: "the chat template refuses it: System role not supported",
                2: "it has no token",
                3: "its prompt and 2 new tokens do not fit into 8 tokens | 7 tokens",
            }
            assert length.tolist() == [2, -1, 0, 7, 6]

    def test_an_answer_needs_a_token(self) -> None:
        flaws, _ = check_prompts([turns("abcdefg"), turns("abcdefgh")], self.tokens, window=8)
        assert flaws == {1: "its prompt and an answer do not fit into 8 tokens | 8 tokens"}

    def test_without_a_window_any_length_fits(self) -> None:
        flaws, length = check_prompts([turns("a" * 500)], self.tokens, None, 10)
        assert flaws == {} and length.tolist() == [500]

    def test_a_prompt_as_the_model_sees_it(self) -> None:
        talk = Dataset.from_dict({"prompt": [turns("q")]})
        assert first_prompt(talk, tiny.tokenizer()) == "<user:q><assistant:"
        template = "{{ messages[0]['content'] }}{{ mood }}"
        assert first_prompt(talk, tiny.tokenizer(), template, template_kwargs={"mood": "!"}) == "q!"
        plain = Dataset.from_dict({"prompt": ["ab"]})
        assert first_prompt(plain, tiny.tokenizer()).replace(" ", "") == "ab"

    @pytest.mark.parametrize(
        ("scaling", "window"),
        [
            ({"rope_type": "default"}, 128),
            ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512),
            ({"rope_type": "linear", "factor": 2.0}, 256),
        ],
    )
    def test_window_of_a_model(self, scaling: dict[str, Any], window: int) -> None:
        long = SimpleNamespace(max_position_embeddings=512, rope_parameters={"factor": 4.0})
        long.rope_parameters["original_max_position_embeddings"] = 128
        assert window_of(SimpleNamespace(get_text_config=lambda: long)) == 512, "it is scaled already"
        made = LlamaConfig(**tiny.SIZES, rope_parameters={"rope_theta": 1e4} | scaling)
        assert window_of(made) == window
        assert window_of(SimpleNamespace(get_text_config=lambda: SimpleNamespace())) is None


class TestReservedColumns:
    @pytest.mark.parametrize("name", ["image", "images"])
    def test_images(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        for empty in ([None, None], [[], []], [[], None]):
            data = Dataset.from_dict({"text": ["a", "b"], name: empty})
            with caplog.at_level(logging.WARNING, "trl_curriculum"):
                assert without_images(data, "the dataset").column_names == ["text"]
            assert f"The column '{name}' of the dataset is empty, and is left out" in caplog.text
        full = Dataset.from_dict({"text": ["a", "b"], name: [None, "cat.png"]})
        with pytest.raises(ValueError, match=rf"column '{name}' of the dataset holds images \(row 1\).*Remove .* or"):
            without_images(full, "the dataset")

    @pytest.mark.parametrize("name", REWARD_ARGUMENTS)
    def test_what_rewards_are_given(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"has a column '{name}'.* rename or remove"):
            refuse_reward_arguments(["prompt", name])
        refuse_reward_arguments(["prompt", "completion", "answer", "environments"])
        with pytest.raises(ValueError, match="a column 'environments'"):
            refuse_reward_arguments(["environments"], has_environment=True)

    @pytest.mark.parametrize("name", TOKENS)
    def test_tokens(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"has a column '{name}'.* rename or remove"):
            refuse_tokens_without_ids(["text", name])
        refuse_tokens_without_ids(["input_ids", name])


def test_a_long_pool_is_read_once_and_fast_enough_to_be_checked_always() -> None:
    data = Dataset.from_dict({"prompt": ["q"] * 3000})
    calls: list[int] = []

    def tokenize(prompts: list[Any]) -> list[list[int]]:
        calls.append(len(prompts))
        return [[1]] * len(prompts)

    flaws, length = check_prompts(data["prompt"], tokenize, batch=256)
    assert not flaws and len(length) == 3000 and len(calls) == 12 and np.all(length == 1)
