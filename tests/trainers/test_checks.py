"""The support table: what is refused, in one sentence before training starts, and what is said not to be tried."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from accelerate.utils import ParallelismConfig
from datasets import Dataset
from harness import trainer
from trl import GRPOConfig

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, Pool
from trl_curriculum.curricula import SEC, Uniform
from trl_curriculum.trainers.checks import refuse_parallelism, say_what_was_not_tried


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_dataset": tiny.dataset().to_iterable_dataset()}, "train_dataset is a stream without a length"),
        ({"train_dataset": list(range(4))}, "train_dataset is a list; pass a datasets.Dataset"),
        ({"train_dataset": tiny.dataset().select([])}, "The dataset is empty"),
        (
            {"train_dataset": tiny.dataset().add_column("image", ["x"] * 40)},
            "vision-language models are not",
        ),
        ({"auto_find_batch_size": True}, "auto_find_batch_size is not supported by GRPO"),
        ({"shuffle_dataset": False}, "shuffle_dataset=False has no effect.*curriculum='order'"),
        ({"train_sampling_strategy": "sequential"}, "train_sampling_strategy='sequential' has no effect"),
        ({"remove_unused_columns": True}, "remove_unused_columns=True has no effect"),
        ({"accelerator_config": {"dispatch_batches": True}}, "accelerator_config.dispatch_batches=True has no effect"),
        ({"accelerator_config": {"split_batches": True}}, "accelerator_config.split_batches=True has no effect"),
        ({"curriculum": "sce"}, "Unknown curriculum 'sce' .did you mean 'sec'"),
        ({"curriculum_kwargs": {"tau": "cold"}}, "Option tau='cold' of curriculum 'sec' must be float"),
        ({"curriculum_kwargs": {"temperature": 1.0}}, "Curriculum 'sec' has no option 'temperature'"),
        ({"arm_column": "armm"}, "arm_column 'armm' .did you mean 'arm'.* is not a column"),
        ({"curriculum_kwargs": "abc"}, "curriculum_kwargs='abc' is not a mapping of options"),
        ({"curriculum_kwargs": {"seed": 3}}, "curriculum_kwargs has 'seed', which the trainer sets itself"),
        ({"arm_column": 3}, "arm_column=3 is not the name of a column"),
        ({"on_data_change": "ignore"}, "on_data_change='ignore' is neither 'refuse' nor 'carry_over'"),
        ({"curriculum": "order"}, "has no option 'tau'"),
        (
            {"curriculum": "evo_curate", "curriculum_kwargs": None},
            "'evo_curate' as it is set up follows the loss, but CurriculumGRPOTrainer shows only reward, advantage",
        ),
        ({"curriculum": "order", "curriculum_kwargs": None}, "set difficulty_column to a numeric column"),
        ({"per_device_train_batch_size": 3}, r"generation_batch_size.*divisible by num_generations"),
        (
            {"curriculum_instance": Uniform(Pool(3)), "curriculum_kwargs": None},
            "made for 3 rows, but the dataset has 40",
        ),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as error:
        trainer(tmp_path, **changes)
    assert str(error.value).count("\n") == 0 or "generation_batch_size" in str(error.value)


def test_a_missing_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_dataset is None"):
        CurriculumGRPOTrainer(tiny.model(), tiny.reward, CurriculumGRPOConfig(str(tmp_path), use_cpu=True))


def test_stock_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="args is a GRPOConfig; CurriculumGRPOTrainer takes a CurriculumGRPOConfig"):
        CurriculumGRPOTrainer(tiny.model(), tiny.reward, GRPOConfig(str(tmp_path), use_cpu=True), tiny.dataset())


def test_null_arms_are_refused(tmp_path: Path) -> None:
    data = tiny.dataset().map(lambda row: {"arm": None if row["index"] in (3, 7) else row["arm"]})
    with pytest.raises(ValueError, match=r"arm_column 'arm' is null in 2 of 40 rows \(first: row 3\)"):
        trainer(tmp_path, train_dataset=data)


@pytest.mark.parametrize("kind", ["tp", "cp", "sp"])
def test_parallelism_that_shares_rows_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind}_size=2: with .* parallelism several processes share rows"):
        refuse_parallelism(ParallelismConfig(**{f"{kind}_size": 2}))
    refuse_parallelism(None)
    refuse_parallelism(ParallelismConfig(dp_replicate_size=2))


@pytest.mark.parametrize(
    ("enabled", "name"), [("is_deepspeed_enabled", "DeepSpeed ZeRO"), ("is_fsdp_enabled", "FSDP")]
)
def test_back_ends_that_were_not_tried_are_named(enabled: str, name: str, caplog: pytest.LogCaptureFixture) -> None:
    flags = {"is_deepspeed_enabled": False, "is_fsdp_enabled": False}
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        say_what_was_not_tried(SimpleNamespace(**flags))
        assert not caplog.text
        say_what_was_not_tried(SimpleNamespace(**flags | {enabled: True}))
    assert f"{name} was not tried with trl_curriculum" in caplog.text


def test_small_and_single_arms_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, per_device_train_batch_size=64)
    assert "4 arms have fewer rows than a batch has (16), for example 'a'" in caplog.text
    one = Dataset.from_list([row | {"arm": "only"} for row in tiny.dataset()])
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, train_dataset=one)
    assert "has one value: a single arm leaves nothing to choose" in caplog.text


def test_arguments_by_default_and_curriculum_as_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = trainer(tmp_path, curriculum_instance=SEC)
    assert type(made.curriculum) is SEC and made.curriculum.options()["tau"] == 0.3


def test_kwargs_and_arms_as_a_command_line_gives_them(tmp_path: Path) -> None:
    made = trainer(tmp_path, curriculum_kwargs='{"tau": 0.25}', arm_column=["level", "kind"])
    assert made.curriculum.options()["tau"] == 0.25 and made.pool.arm_names[1] == "1/odd"
