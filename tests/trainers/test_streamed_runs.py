"""GRPO over streams: rows as they come, checked when they are drawn, and resumed to the bit."""

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from datasets import IterableDataset
from harness import trainer, weights

from trl_curriculum.curricula import SEC


ROWS = [row | {"prompt": f"{k}:{'abcdef'[k % 6]}#"} for k, row in enumerate(tiny.dataset(24))]
OF = {arm: [row for row in ROWS if row["arm"] == arm] for arm in "ab"}


def streams(change: Any = None) -> dict[str, IterableDataset]:
    """Two, of six rows each."""

    def read(arm: list[str]) -> Any:
        yield from copy.deepcopy((change or OF)[arm[0]])

    return {arm: IterableDataset.from_generator(read, gen_kwargs={"arm": [arm]}) for arm in "ab"}


def streamed(folder: Path, given: Any = None, **changes: Any) -> Any:
    options = {"arms": None, "curriculum": {"sec": {"tau": 0.3}}, "per_device_train_batch_size": 8}
    return trainer(folder, train_dataset=streams() if given is None else given, **(options | changes))


def test_rows_are_those_of_the_streams_in_their_order(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, str]] = []

    def reward(completions: Any, prompts: Any, arm: Any, letter: Any, **kwargs: Any) -> list[float]:
        seen.extend(zip(arm, prompts, strict=True))
        return tiny.reward(completions, letter)

    run = streamed(tmp_path, reward_funcs=reward, max_steps=8)
    run.train()
    history = run.history()
    assert history["arm"].isin(["a", "b"]).all() and history["probability"].isna().all()
    drawn = seen[:: run.args.num_generations]
    for k, arm in enumerate("ab"):
        rows = history.loc[history["arm"] == arm, "row"].tolist()
        assert rows == [2 * place + k for place in range(len(rows))]
        wanted = [OF[arm][place % 6]["prompt"] for place in range(len(rows))]  # each has six rows: it starts over
        assert [prompt for name, prompt in drawn if name == arm] == wanted
    assert max(history["arm"].value_counts()) > 6 and "ended after 6 rows: it starts over" in caplog.text
    card = (tmp_path / "README.md").read_text() if (tmp_path / "README.md").exists() else ""
    assert "different ones of the" not in card


def test_a_resume_is_exact(tmp_path: Path) -> None:
    """Between two steps, with rows in place of others."""
    options = {"max_steps": 8, "save_strategy": "steps", "save_steps": 3, "rollouts": ["refill"]}
    whole = streamed(tmp_path, **options)
    whole.train()
    rows, expected = whole.history()["row"].tolist(), weights(whole).clone()
    again = streamed(tmp_path, **options)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
    assert again.history()["row"].tolist() == rows and torch.equal(weights(again), expected)
    assert max(rows) >= 12, "a stream has started over"


def test_other_streams_are_refused_at_a_resume(tmp_path: Path) -> None:
    long = {arm: [row | {"prompt": f"{k}:{arm}#"} for k, row in enumerate(rows * 4)] for arm, rows in OF.items()}
    options = {"max_steps": 4, "save_strategy": "steps", "save_steps": 4}
    options["curriculum"] = {"mixture": {"weights": {"a": 1, "b": 0}}}
    streamed(tmp_path, streams(long), **options).train()
    for at, words in ((8, "'a' has other rows from its row 8 on"), (0, "the streams begin with others than then")):
        other = long | {"a": [*long["a"][:at], long["a"][at] | {"prompt": "z"}, *long["a"][at + 1 :]]}
        with pytest.raises(ValueError, match=words):
            streamed(tmp_path, streams(other), **options).train(resume_from_checkpoint=True)


def test_one_stream_is_one_arm(tmp_path: Path) -> None:
    run = streamed(tmp_path, streams()["a"], curriculum="uniform", max_steps=2)
    run.train()
    assert run.history()["row"].tolist() == [0, 1, 2, 3] and set(run.history()["arm"]) == {"all"}
    with pytest.raises(ValueError, match="'sec' chooses among arms, and there are no arms"):
        streamed(tmp_path, streams()["a"])


def test_a_row_that_cannot_be_used_is_named_when_it_is_drawn(tmp_path: Path) -> None:
    blank = {"a": [*OF["a"], *OF["a"], OF["a"][0] | {"prompt": " "}], "b": OF["b"]}
    run = streamed(tmp_path, streams(blank), curriculum={"mixture": {"weights": {"a": 1, "b": 0}}}, max_steps=8)
    with pytest.raises(ValueError, match=r"what is drawn from a, b \(row r is row r // 2 of stream r % 2\).*24"):
        run.train()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"max_steps": -1, "num_train_epochs": 1},
            "Streams have no length, so that epochs end nowhere: set max_steps",
        ),
        ({"arms": "arm"}, "arms=.*has no effect on streams.*the streams are the arms"),
        ({"difficulty_column": "level"}, "difficulty_column='level' has no effect on streams"),
        ({"unusable_rows": "leave_out"}, "leave rows out by `filter`"),
        ({"on_data_change": "carry_over"}, "a resume needs the same streams"),
        ({"remove_unused_columns": True}, "take `select_columns`"),
        ({"curriculum": "hive"}, "'hive' has the prompt entropy of rows measured"),
        ({"curriculum": "ucb1", "arms": {"success_rate": {}}}, "has no effect on streams"),
        ({"rollouts": ["aepo"]}, "aepo asks prompts once more, and a row of a stream is gone"),
    ],
)
def test_what_streams_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        streamed(tmp_path, **changes)


def test_a_row_must_fit_in_its_longest_form_when_it_is_drawn(tmp_path: Path) -> None:
    long = {"a": [*OF["a"], *OF["a"], OF["a"][0] | {"prompt": "a" * 60}], "b": OF["b"]}  # + 67 letters of the form
    run = streamed(
        tmp_path, streams(long), curriculum={"mixture": {"weights": {"a": 1, "b": 0}}}, max_steps=8,
        rollouts=[{"prompt_augmentation": {"templates": ["as_is", "hashes"]}}],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"row 24 .*do not fit into 128 tokens|do not fit into 128 tokens.*24"):
        run.train()


def test_neither_a_dataset_nor_streams(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="a mapping of several by their names"):
        trainer(tmp_path, train_dataset=[1, 2])


def test_a_method_of_ones_own_is_bound_to_streams_too(tmp_path: Path) -> None:
    run = streamed(tmp_path, curriculum=SEC(tau=0.2))
    assert run.pool.is_stream and run.pool.arm_names == ("a", "b")


def test_the_example_of_the_docs_trains(
    tmp_path: Path, tiny_path: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs" / "data.md").read_text().split("## Streams")[1]
    text = page.split("```python\n")[1].split("```")[0].replace("Qwen/Qwen2.5-3B", tiny_path)
    text = text.replace('reward_funcs="math_accuracy"', "reward_funcs=reward")
    text = text.replace("(2, 3, 4)]\n", "(2, 3, 4)],\n    instruction=None,\n")  # the tiny model reads 128 letters
    cpu = 'Config(output_dir="out", use_cpu=True, bf16=False, report_to=[], max_completion_length=4, '
    scope: dict[str, Any] = {"reward": lambda completions, **columns: [float(len(str(c)) % 2) for c in completions]}
    exec(text.replace("Config(", cpu).replace("max_steps=200", "max_steps=1"), scope)
    scope["trainer"].train()
    assert (
        scope["trainer"].pool.arm_names == ("2", "3", "4")
        and "arms        streams: 2, 3, 4" in capsys.readouterr().out
    )
