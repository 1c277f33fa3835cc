"""Prompts with answers as tokens: the same ones that TRL trains on."""

from pathlib import Path
from typing import Any

import pytest
import tiny
from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

from trl_curriculum.data.smollm2 import smollm2
from trl_curriculum.lm.batches import Row
from trl_curriculum.lm.losses import tokenize_examples


PLAIN = [
    ("Question: What is 1 + 2?\nAnswer:", " 3"),
    ("A sentence. ", "next one"),  # the space becomes part of the completion's first token
    ("un", "believable"),
    ("It ends", " by itself.<|im_end|>"),
    ("It ends <|im_", "end|>"),  # the whole text ends so, its completion does not
]
CHAT = [
    ([{"role": "user", "content": "Hello"}], [{"role": "assistant", "content": "Good day to you."}]),
    (
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why? "}],
        [{"role": "assistant", "content": " So."}],
    ),
]
THINKS = "{% if add_generation_prompt %}<think>\n\n</think>\n\n{% endif %}"  # in the prompt alone


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    try:
        return AutoTokenizer.from_pretrained(smollm2())
    except ImportError as error:
        pytest.skip(str(error))


def dataset(rows: list[tuple[Any, Any]]) -> Dataset:
    return Dataset.from_list([{"prompt": prompt, "completion": completion} for prompt, completion in rows])


def by_trl(rows: Dataset, tokenizer: Any, folder: Path, max_length: int | None = None) -> list[Row]:
    """What TRL's collator hands to the model, without the padding."""
    args = SFTConfig(str(folder), max_length=max_length, report_to=[], use_cpu=True, bf16=False)
    trainer = SFTTrainer(tiny.model(), args, train_dataset=rows, processing_class=tokenizer)
    made = []
    for row in trainer.train_dataset:
        batch = trainer.data_collator([row])
        made.append({name: batch[name][0].tolist() for name in ("input_ids", "labels")})
    return made


@pytest.mark.parametrize("rows", [PLAIN, CHAT], ids=["plain", "chat"])
def test_the_same_as_trl(rows: list[tuple[Any, Any]], tokenizer: Any, tmp_path: Path) -> None:
    mine = tokenize_examples(dataset(rows), tokenizer)
    assert mine == by_trl(dataset(rows), tokenizer, tmp_path)
    assert all(row["labels"][0] == -100 and row["labels"][-1] != -100 for row in mine)


def test_where_tokens_merge_the_whole_token_is_trained_on(tokenizer: Any) -> None:
    row = tokenize_examples(dataset(PLAIN[1:2]), tokenizer)[0]
    trained = [token for token in row["labels"] if token != -100]
    assert tokenizer.decode(trained) == " next one<|im_end|>"


def test_a_prompt_that_reads_otherwise_alone(tokenizer: Any, tmp_path: Path) -> None:
    before = tokenizer.chat_template
    tokenizer.chat_template = before + THINKS
    try:
        assert tokenize_examples(dataset(CHAT), tokenizer) == by_trl(dataset(CHAT), tokenizer, tmp_path)
    finally:
        tokenizer.chat_template = before


@pytest.mark.parametrize("rows", [PLAIN, CHAT], ids=["plain", "chat"])
def test_long_rows_are_cut_as_by_trl(rows: list[tuple[Any, Any]], tokenizer: Any, tmp_path: Path) -> None:
    length = 2 + min(row["labels"].count(-100) for row in tokenize_examples(dataset(rows), tokenizer))
    mine = tokenize_examples(dataset(rows), tokenizer, length)
    assert max(len(row["input_ids"]) for row in mine) == length
    trained = [row for row in mine if any(label != -100 for label in row["labels"])]
    assert 0 < len(trained) < len(mine) == len(rows)  # TRL drops the others
    assert trained == by_trl(dataset(rows), tokenizer, tmp_path, length)
