"""The rows of SFT by themselves: which are left, where they lie in the user's dataset, and their prompts."""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from trl_curriculum.trainers.sft_rows import POSITION, SFTRows, with_positions


TOKENS = [[5, 6, 7], [5, 6], [5, 6, 7, 8], [9], [5]]
# Row 1 is masked, row 3 is trained on at its first token, which nothing predicts, and row 4 is too short.
LABELS = [[-100, 6, 7], [-100, -100], [-100, -100, 7, 8], [9], [-100]]


def arguments(**changes: Any) -> SimpleNamespace:
    options = {"packing": False, "max_length": 16, "unusable_rows": "leave_out", "process_index": 0}
    return SimpleNamespace(**options | changes)


def rows(source: dict[str, Any] | None = None, tokens: Any = TOKENS, labels: Any = LABELS, **args: Any) -> SFTRows:
    given = Dataset.from_dict(source or {"prompt": [f"question {k}" for k in range(len(tokens))]})
    prepared = with_positions(given).add_column("input_ids", tokens)
    if labels is not None:
        prepared = prepared.add_column("labels", labels)
    return SFTRows(given, prepared, arguments(**args))


def test_rows_know_their_places() -> None:
    data = with_positions(Dataset.from_dict({"text": ["a", "b", "c"]}))
    assert data.select([2, 0])[POSITION] == [2, 0]
    with pytest.raises(ValueError, match="has a column 'curriculum_row', a name that the trainer needs; rename yours"):
        with_positions(data)


def test_rows_without_a_token_to_train_on_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        left = rows()
    assert "3 of 5 rows of the training dataset cannot be used: no token of it is trained on" in caplog.text
    assert "max_length=16 (rows 1, 3, 4). They are left out" in caplog.text
    assert left.position.tolist() == [0, 2] and left.length.tolist() == [3, 4] and len(left.dataset) == 2
    assert [row["input_ids"] for row in left[[1, 0]]] == [TOKENS[2], TOKENS[0]]
    assert [row["prompt"] for row in left.as_given(np.array([1, 0]))] == ["question 2", "question 0"]
    assert left.select(np.array([1]))["labels"] == [LABELS[2]]


def test_rows_that_truncation_dropped_or_reordered_keep_their_places() -> None:
    given = Dataset.from_dict({"prompt": list("abcd")})
    prepared = with_positions(given).add_column("input_ids", [[5, 6]] * 4).select([3, 1])
    left = SFTRows(given, prepared, arguments(max_length=8))
    assert left.position.tolist() == [3, 1]
    assert [row["prompt"] for row in left.as_given([0, 1])] == ["d", "b"]


def test_only_the_columns_of_a_collator_are_read() -> None:
    left = rows()
    left.read_only(["input_ids", "labels", "seq_lengths"])
    assert set(left[[0]][0]) == {"input_ids", "labels"} and "prompt" in left.dataset.column_names
    left.read_only(None)
    assert "prompt" in left[[0]][0]


def test_the_pool_is_what_the_user_gave() -> None:
    assert rows({"prompt": list("abcde"), "arm": list("xyxyx")}).without_tokens().column_names == ["prompt", "arm"]
    given = {"input_ids": TOKENS, "arm": list("xyxyx")}
    source = Dataset.from_dict(given)
    prepared = with_positions(source).add_column("labels", LABELS)
    left = SFTRows(source, prepared, arguments(max_length=8))
    assert left.without_tokens().column_names == ["input_ids", "arm"]


class TestPrompts:
    def test_texts_and_messages(self) -> None:
        assert rows().prompts(np.array([1]), asks_for_answer=True) == ["question 2"]
        turns = [{"role": role, "content": role} for role in ("user", "assistant")]
        assert rows({"messages": [turns] * 5}).prompts(np.array([0]), asks_for_answer=True) == [turns[:1]]

    def test_the_tokens_before_what_is_trained_on(self) -> None:
        of_tokens = rows({"text": list("abcde")})
        assert of_tokens.prompts(np.array([1, 0]), asks_for_answer=False) == [[5, 6], [5]]
        with pytest.raises(ValueError, match=r"quick_answer asks for a short answer .* set quick_answer: null"):
            of_tokens.prompts(np.array([0]), asks_for_answer=True)

    @pytest.mark.parametrize("labels", [None, TOKENS])
    def test_rows_that_are_trained_on_from_their_first_token_have_none(self, labels: Any) -> None:
        with pytest.raises(ValueError, match="these rows are trained on from their first token"):
            rows({"text": list("abcde")}, labels=labels).prompts(np.array([0]), asks_for_answer=False)

    def test_a_row_that_lacks_what_others_have_is_named(self) -> None:
        turns = [{"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]
        mixed = rows({"messages": [turns, turns, [], turns, turns]})
        with pytest.raises(ValueError, match="Row 2 has neither a prompt nor messages, as others have"):
            mixed.prompts(np.array([0, 1]), asks_for_answer=False)


class TestMistakes:
    def test_rows_without_a_token_to_train_on_are_refused_unless_they_may_be_left_out(self) -> None:
        with pytest.raises(ValueError, match=r"3 of 5 rows .* \(rows 1, 3, 4\)\. Mend them, or .* unusable_rows"):
            rows(unusable_rows="refuse")

    def test_nothing_is_left(self) -> None:
        with pytest.raises(ValueError, match=r"None of the 5 rows .* no token of it is trained on.*max_length=16"):
            rows(labels=[[-100] * len(ids) for ids in TOKENS])

    def test_a_row_longer_than_a_packed_batch(self) -> None:
        assert rows(max_length=3).length.max() == 4  # without packing nothing has to fit
        with pytest.raises(ValueError, match="Row 2 has 4 tokens and max_length is 3"):
            rows(max_length=3, packing=True)

    @pytest.mark.parametrize(("column", "words"), [(POSITION, "TRL has dropped the column"), ("input_ids", "no col")])
    def test_a_column_is_missing(self, column: str, words: str) -> None:
        given = Dataset.from_dict({"prompt": ["a"]})
        prepared = with_positions(given).add_column("input_ids", [[3, 4]]).remove_columns(column)
        with pytest.raises((ValueError, RuntimeError), match=words):
            SFTRows(given, prepared, arguments(max_length=8))
