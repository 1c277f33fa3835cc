"""Rows as padded tensors."""

import pytest

from trl_curriculum.lm.batches import collate, pad_ids


def test_both_sides() -> None:
    ids, mask = pad_ids([[3, 4, 5], [], [6]], 9)
    assert ids.tolist() == [[3, 4, 5], [9, 9, 9], [6, 9, 9]] and mask.tolist() == [[1, 1, 1], [0, 0, 0], [1, 0, 0]]
    ids, mask = pad_ids([[3, 4, 5], [6]], 9, "left")
    assert ids.tolist() == [[3, 4, 5], [9, 9, 6]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize("value", [0, 3])
def test_a_token_that_looks_like_padding_is_none(value: int) -> None:
    assert pad_ids([[value, 4, value], [value]], value)[1].tolist() == [[1, 1, 1], [1, 0, 0]]


def test_rows() -> None:
    batch = collate([{"input_ids": [3, 4, 5], "labels": [-100, 4, 5]}, {"input_ids": [6, 0], "labels": [-100, 0]}])
    assert {name: value.tolist() for name, value in batch.items()} == {
        "input_ids": [[3, 4, 5], [6, 0, 0]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
        "labels": [[-100, 4, 5], [-100, 0, -100]],
    }
