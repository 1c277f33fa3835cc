"""SFT over streams: prepared as they come, to the bit as the same rows in memory, and resumed so."""

import copy
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from datasets import Dataset, IterableDataset
from harness import sft_trainer, weights
from transformers import TrainerCallback


PAIRS = list(tiny.sft_dataset(16))
CHATS = list(tiny.sft_dataset(16, conversational=True))
TEXTS = [{"text": row["prompt"] + row["completion"], "index": row["index"]} for row in PAIRS]
TOKENS: list[dict[str, Any]] = []
for pair in PAIRS:
    ids, trained = tiny.sft_tokens(pair)
    labels = [token if one else -100 for token, one in zip(ids, trained, strict=True)]
    TOKENS.append({"input_ids": ids, "labels": labels, "index": pair["index"]})
MIXED = {"mixture": {"weights": {"a": 2, "b": 1}}}


def stream(rows: list[dict[str, Any]]) -> IterableDataset:
    def read(part: list[int]) -> Any:
        yield from copy.deepcopy(rows)

    return IterableDataset.from_generator(read, gen_kwargs={"part": [0]})


def two(rows: list[dict[str, Any]]) -> dict[str, IterableDataset]:
    """Drawn in turn, they are the rows in their order."""
    return {"a": stream(rows[::2]), "b": stream(rows[1::2])}


class Given(TrainerCallback):
    """What the model was trained on: the tensors of each batch, and the logs."""

    def __init__(self, run: Any) -> None:
        self.batches: list[dict[str, Any]] = []
        self.logs: list[dict[str, Any]] = []
        run.model.register_forward_pre_hook(self._look, with_kwargs=True)
        run.add_callback(self)

    def _look(self, module: Any, args: Any, batch: dict[str, Any]) -> None:
        if module.training and batch.get("fused_lm_head"):
            self.batches.append({name: value.tolist() for name, value in batch.items() if hasattr(value, "tolist")})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        self.logs.append({name: logs[name] for name in ("loss", "num_tokens", "learning_rate") if name in logs})


@pytest.mark.parametrize(
    ("rows", "given", "options"),
    [
        (PAIRS, stream, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}),
        (PAIRS, two, {"padding_free": True, "max_length": None}),
        (CHATS, two, {"max_length": 40, "truncation_mode": "keep_end"}),
        (TEXTS, stream, {"formatting_func": lambda row: row["text"].upper().lower() + "a"}),
        (TEXTS, two, {}),
        (TOKENS, stream, {"dataset_kwargs": {"skip_prepare_dataset": True}}),
        (PAIRS[:5] * 3, lambda rows: stream(rows[:5]), {}),  # which ends twice
    ],
)
def test_a_stream_trains_as_the_same_rows_in_memory(
    tmp_path: Path, rows: list[dict[str, Any]], given: Any, options: dict[str, Any]
) -> None:
    kept = Dataset.from_list([row | {"index": k} for k, row in enumerate(rows)])
    options = {"max_steps": 3, **options}
    ordered = sft_trainer(
        tmp_path / "kept", train_dataset=kept, curriculum="order", difficulty_column="index", **options
    )
    streamed = sft_trainer(tmp_path / "streamed", train_dataset=given(rows), shuffle_dataset=True, **options)
    seen = [Given(run) for run in (ordered, streamed)]
    for run in (ordered, streamed):
        run.train()
    assert streamed.history()["row"].tolist() == ordered.history()["row"].tolist() == list(range(12))
    assert seen[0].batches == seen[1].batches and len(seen[0].batches) == 3 * options.get(
        "gradient_accumulation_steps", 1
    )
    assert seen[0].logs == seen[1].logs and len(seen[0].logs) >= 3
    assert torch.equal(weights(ordered), weights(streamed))
    assert streamed.history()["loss"].tolist() == ordered.history()["loss"].tolist()


def test_a_resume_is_exact(tmp_path: Path) -> None:
    options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 2, "curriculum": MIXED}
    whole = sft_trainer(tmp_path, train_dataset=two(PAIRS), **options)
    seen = Given(whole)
    whole.train()
    rows, expected = whole.history()["row"].tolist(), weights(whole).clone()
    again = sft_trainer(tmp_path, train_dataset=two(PAIRS), **options)
    then = Given(again)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert again.history()["row"].tolist() == rows and torch.equal(weights(again), expected)
    assert then.batches == seen.batches[2:] and then.logs[-2] == seen.logs[-2]
    assert max(rows) >= 16, "a stream has started over"
    other = {"a": stream(PAIRS[::2]), "b": stream([*PAIRS[1:9:2], *PAIRS[2::2]])}
    with pytest.raises(ValueError, match="the streams begin with others than then"):
        sft_trainer(tmp_path, train_dataset=other, **options).train(resume_from_checkpoint=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"packing": True, "max_length": 32}, "packing=True puts rows back that do not fit"),
        ({"max_tokens": 700, "max_steps": -1}, "max_tokens=700 needs the lengths of all rows beforehand"),
        ({"max_steps": -1, "num_train_epochs": 1}, "Streams have no length, so that epochs end nowhere: set max_step"),
        ({"arms": "arm"}, "arms=.*has no effect on streams.*the streams are the arms"),
        ({"unusable_rows": "leave_out"}, "leave rows out by `filter`"),
        ({"curriculum": "evo_curate"}, "'evo_curate' remembers something of every row"),
        ({"curriculum": {"evo_curate": {"measure": "probe"}}}, "'evo_curate' has the loss of rows measured"),
        ({"curriculum": "mixture", "train_dataset": stream(PAIRS)}, "'mixture' chooses among arms"),
        ({"train_dataset": stream([{"prompt": "a", "answer": "b"}])}, "none of TRL's formats"),
    ],
)
def test_what_streams_cannot_do_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sft_trainer(tmp_path, **{"train_dataset": two(PAIRS), "model": "there/is-none"} | changes)


@pytest.mark.parametrize(
    ("changes", "length", "words"),
    [
        ({"completion": " "}, 32, r"`completion` is blank \(row 16\)"),
        ({"prompt": "a" * 40}, 32, r"no token of it is trained on: .*max_length=32 \(row 16\)"),
        ({"prompt": "a" * 140}, None, r"does not fit into the 128 tokens that the model reads .*row 16"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_when_it_is_drawn(
    tmp_path: Path, changes: dict[str, Any], length: int | None, words: str
) -> None:
    rows = {"a": stream([*PAIRS[:8], PAIRS[8] | changes]), "b": stream(PAIRS)}
    run = sft_trainer(tmp_path, train_dataset=rows, max_length=length, max_steps=5)
    where = r"what is drawn from a, b \(row r is row r // 2 of stream r % 2\)"
    with pytest.raises(ValueError, match=f"{where}.*{words}.*leave them out by `filter` of the stream"):
        run.train()
    assert run.state.global_step == 4


def test_what_is_said_beforehand(tmp_path: Path) -> None:
    run = sft_trainer(tmp_path, train_dataset=two(PAIRS))
    assert run.left_out is None and list(run.found) == ["first row"]
    assert run.pool.arm_names == ("a", "b") and run._run().steps == 4
