"""The support table: what is refused, in one sentence before training starts, and what is said not to be tried."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
from accelerate.utils import ParallelismConfig
from datasets import Dataset
from harness import config, trainer

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, Pool
from trl_curriculum.curricula import SEC, ArmCurriculum, Uniform
from trl_curriculum.trainers.checks import refuse_parallelism, say_what_was_not_tried


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"train_dataset": tiny.dataset().to_iterable_dataset()},
            r"arms=\['arm'\] has no effect on streams: leave it out; the streams are the arms",
        ),
        ({"train_dataset": list(range(4))}, "train_dataset is a list; pass a datasets.Dataset"),
        ({"train_dataset": tiny.dataset().select([])}, "The dataset is empty"),
        (
            {"train_dataset": tiny.dataset().add_column("image", ["x"] * 40)},
            "The column 'image' of the training dataset holds images .row 0.: vision-language models are not",
        ),
        ({"auto_find_batch_size": True}, "auto_find_batch_size is not supported by GRPO"),
        ({"shuffle_dataset": False}, "shuffle_dataset=False asks for the order of the dataset.*curriculum='order'"),
        ({"train_sampling_strategy": "sequential"}, "train_sampling_strategy='sequential' asks for the order"),
        ({"accelerator_config": {"dispatch_batches": True}}, "accelerator_config.dispatch_batches=True has no effect"),
        ({"accelerator_config": {"split_batches": True}}, "accelerator_config.split_batches=True has no effect"),
        ({"curriculum": "sce"}, "Unknown curriculum 'sce' .did you mean 'sec'"),
        ({"curriculum": {"sec": {"tau": "cold"}}}, "tau='cold' of sec must be float"),
        ({"curriculum": {"sec": {"tau": 0}}}, "tau=0 of sec must be above 0"),
        ({"curriculum": {"sec": {"temperature": 1.0}}}, "Curriculum 'sec' has no option 'temperature'"),
        ({"curriculum": {"sec": {"seed": 3}}}, "Curriculum 'sec' has no option 'seed'"),
        ({"curriculum": {"sec": "abc"}}, "The curriculum {'sec': 'abc'} is not a name, or {name: {option: value}}"),
        ({"curriculum": {"sec": None, "dump": None}}, "is not a name, or {name: {option: value}}"),
        ({"curriculum": '{"sec": '}, "The curriculum '{\"sec\": ' is no JSON"),
        ({"arms": "armm"}, "arms 'armm' .did you mean 'arm'.* is not a column"),
        ({"arms": 3}, "The arm source 3 is not a name, or {name: {option: value}}"),
        ({"arms": {"success_rate": {"bin": 3}}}, "Arm source 'success_rate' has no option 'bin' .did you mean 'bins'"),
        ({"arms": {"clusters": {}}}, "Arm source 'clusters' needs the option 'k'"),
        ({"probe": {"prefix": {}}}, "Unknown probe 'prefix'"),
        ({"probe": {"prefix_entropy": {"lenght": 3}}}, "has no option 'lenght' .did you mean 'length'"),
        ({"on_data_change": "ignore"}, "on_data_change='ignore' is neither 'refuse' nor 'carry_over'"),
        ({"curriculum": {"order": {"tau": 1.0}}}, "Curriculum 'order' has no option 'tau'"),
        (
            {"curriculum": "evo_curate"},
            "'evo_curate' as it is set up follows the loss, but CurriculumGRPOTrainer shows only reward, advantage",
        ),
        ({"curriculum": "order"}, "set difficulty_column to a numeric column"),
        ({"per_device_train_batch_size": 3}, r"generation_batch_size.*divisible by num_generations"),
        ({"curriculum": Uniform().bind(Pool(40))}, "The curriculum <.*Uniform.* is not a name"),
    ],
)
def test_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words) as error:
        trainer(tmp_path, **changes)
    assert str(error.value).count("\n") == 0 or "generation_batch_size" in str(error.value)


def test_a_missing_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train_dataset is None"):
        CurriculumGRPOTrainer(tiny.model(), tiny.reward, CurriculumGRPOConfig(str(tmp_path), use_cpu=True))


def test_null_arms_are_refused(tmp_path: Path) -> None:
    data = tiny.dataset().map(lambda row: {"arm": None if row["index"] in (3, 7) else row["arm"]})
    with pytest.raises(ValueError, match=r"arms 'arm' is null in 2 of 40 rows \(first: row 3\)"):
        trainer(tmp_path, train_dataset=data)


@pytest.mark.parametrize("kind", ["tp", "cp", "sp"])
def test_parallelism_that_shares_rows_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=f"{kind}_size=2: with .* parallelism several processes share rows"):
        refuse_parallelism(ParallelismConfig(**{f"{kind}_size": 2}))
    refuse_parallelism(None)
    refuse_parallelism(ParallelismConfig(dp_replicate_size=2))


@pytest.mark.parametrize(("version", "words"), [(1, "Version 1 of FSDP was not tried"), (2, "")])
def test_what_was_not_tried_is_said(version: int, words: str, caplog: pytest.LogCaptureFixture) -> None:
    state = SimpleNamespace(fsdp_plugin=SimpleNamespace(fsdp_version=version))
    flags = {"is_deepspeed_enabled": False, "is_fsdp_enabled": True}
    with caplog.at_level(logging.WARNING):
        say_what_was_not_tried(SimpleNamespace(accelerator=SimpleNamespace(state=state), **flags))
    assert words in caplog.text and bool(caplog.text) == bool(words)


def test_small_and_single_arms_are_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, per_device_train_batch_size=64)
    assert "4 arms have fewer rows than a batch has (16), for example 'a'" in caplog.text
    one = Dataset.from_list([row | {"arm": "only"} for row in tiny.dataset()])
    with pytest.raises(ValueError, match="'sec' chooses among arms, and arms arm has one value, 'only'"):
        trainer(tmp_path, train_dataset=one)
    with caplog.at_level(logging.WARNING, "trl_curriculum"):
        trainer(tmp_path, train_dataset=one, curriculum="uniform")
    assert "has one value: a single arm leaves nothing to choose" in caplog.text


@pytest.mark.parametrize("spelling", [SEC, SEC(tau=0.5), {"sec": {"tau": 0.5}}, "sec"])
def test_the_trainers_curriculum_overrides_that_of_the_arguments(tmp_path: Path, spelling: Any) -> None:
    args = config(tmp_path, curriculum={"sec": {"alpha": 0.9}})
    made = CurriculumGRPOTrainer(
        tiny.model(),
        tiny.reward,
        args,
        tiny.dataset(),
        processing_class=tiny.tokenizer(),
        curriculum=spelling,
    )
    assert made.curriculum.method == SEC(tau=1.0 if spelling in (SEC, "sec") else 0.5)
    assert isinstance(made.curriculum, ArmCurriculum)


def test_options_and_arms_as_a_command_line_gives_them(tmp_path: Path) -> None:
    made = trainer(tmp_path, curriculum='{"sec": {"tau": 0.25}}', arms=["level", "kind"])
    assert made.curriculum.method == SEC(tau=0.25) and made.pool.arm_names[1] == "1/odd"


def test_a_probe_that_nobody_asks_for_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer(tmp_path, probe={"loss": {"batch_tokens": 40}})
    assert "probe 'loss' has no effect: curriculum 'sec' measures nothing." in caplog.text
