"""Messages with ShareGPT's names, roles that no template knows, and columns that GRPO does not read."""

import logging
from pathlib import Path
from typing import Any

import pytest
import tiny
from datasets import Dataset
from harness import sft_trainer, trainer


def shared(human: str | None = "ab", role: str = "human", key: str = "from") -> dict[str, Any]:
    value = "value" if key == "from" else "content"
    return {"conversations": [{key: role, value: human}, {key: "gpt", value: "cd"}]}


def paid(completions: list[Any], **columns: Any) -> list[float]:
    return [0.0] * len(completions)


@pytest.mark.parametrize("key", ["from", "role"])
def test_sharegpt_has_the_roles_of_the_template(tmp_path: Path, key: str) -> None:
    data = Dataset.from_list([shared(key=key)] * 8)
    run = sft_trainer(tmp_path, train_dataset=data, eval_dataset=data)
    text = run.processing_class.decode(run.rows[[0]][0]["input_ids"]).replace(" ", "")
    assert text == "<user:ab><assistant:cd>"
    asked = Dataset.from_list([{"prompt": shared(key=key)["conversations"][:1]}] * 16)
    assert (
        trainer(tmp_path, train_dataset=asked, reward_funcs=paid, arms=None, curriculum="uniform").found["first row"]
        == "'<user:ab><assistant:'"
    )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (shared(role="critic"), "`messages` has the unknown role 'critic'"),
        (shared(human=None), "`messages` has a message without content"),
        ({"conversations": None}, "`messages` is null"),
    ],
)
def test_others_are_refused_by_row_or_left_out(tmp_path: Path, bad: dict[str, Any], words: str) -> None:
    data = Dataset.from_list([shared(), shared(), bad, *[shared()] * 6])
    with pytest.raises(ValueError, match=rf"{words}.*\(row 2\)"):
        sft_trainer(tmp_path, train_dataset=data)
    run = sft_trainer(tmp_path, train_dataset=data, unusable_rows="leave_out")
    assert run.left_out == 1 and 2 not in run.rows.position


def test_messages_that_need_no_other_names_stay_the_same(tmp_path: Path) -> None:
    data = Dataset.from_list(
        [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 8
    )
    assert sft_trainer(tmp_path, train_dataset=data).rows.source is data


def test_grpo_says_which_columns_it_does_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = tiny.dataset()
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, train_dataset=data.add_column("tools", [[{"type": "function"}]] * len(data)))
        trainer(tmp_path, train_dataset=data.add_column("chat_template_kwargs", [{"x": 1}] * len(data)))
    assert "does not read the column 'tools'" in caplog.text
    assert "set the option chat_template_kwargs" in caplog.text
