"""What TRL's trainers take: what the entries of trainers/taken.py say is what happens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
import transformers
import trl
from datasets import Dataset, DatasetDict
from harness import SFT, weights
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForSequenceClassification, TrainingArguments
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, CurriculumSFTConfig, CurriculumSFTTrainer
from trl_curriculum.curricula import EDCO, Uniform
from trl_curriculum.trainers.taken import FIELDS


OPTIONS: dict[str, Any] = {
    name: value for name, value in SFT.items() if name not in ("curriculum", "learning_rate", "max_steps")
}
OPTIONS |= {"learning_rate": 1e-3, "max_steps": 2}
GROUPS: dict[str, Any] = {"num_generations": 4, "max_completion_length": 8}
LORA = LoraConfig(r=2, target_modules="all-linear")


def letters(completions: list[Any], **kwargs: Any) -> list[float]:
    return [float(len(set(str(completion)))) for completion in completions]


async def asynchronous(completions: list[Any], **kwargs: Any) -> list[float]:
    return letters(completions)


class Judge:
    def __call__(self, completions: list[Any], letter: list[str], log_metric: Any = None, **kwargs: Any) -> list[Any]:
        log_metric("judged", float(len(letter)))
        return [None if k % 2 else value for k, value in enumerate(letters(completions))]


def grpo(folder: Path, options: dict[str, Any], **arguments: Any) -> tuple[Any, Any]:
    """A run with TRL's own arguments, and stock TRL on the rows that it has drawn."""
    given: dict[str, Any] = {"model": tiny.model, "reward_funcs": lambda: letters, "processing_class": tiny.tokenizer}
    given |= arguments
    data = given.pop("train_dataset", tiny.dataset)()
    args = OPTIONS | GROUPS | options

    def make(trainer: Any, name: str, rows: Any, **more: Any) -> Any:
        made = {key: value() for key, value in given.items()}
        run = trainer(args=GRPOConfig(str(folder / name), **args | more), train_dataset=rows, **made)
        run.train()
        return run

    ours = make(CurriculumGRPOTrainer, "ours", data)
    return ours, make(GRPOTrainer, "stock", data.select(ours.history()["row"]), shuffle_dataset=False)


def sft(folder: Path, options: dict[str, Any], **arguments: Any) -> tuple[Any, Any]:
    """The same of SFT."""
    given: dict[str, Any] = {"model": tiny.model, "processing_class": tiny.tokenizer} | arguments
    data = given.pop("train_dataset", tiny.sft_dataset)()
    args = OPTIONS | options

    def make(trainer: Any, name: str, rows: Any, **more: Any) -> Any:
        made = {key: value() for key, value in given.items()}
        run = trainer(args=SFTConfig(str(folder / name), **args | more), train_dataset=rows, **made)
        run.train()
        return run

    ours = make(CurriculumSFTTrainer, "ours", data)
    in_order = {"train_sampling_strategy": "sequential", "shuffle_dataset": False}
    return ours, make(SFTTrainer, "stock", data.select(ours.history()["row"]), **in_order)


def assert_equal(ours: Any, stock: Any) -> None:
    assert torch.equal(weights(ours), weights(stock)), "other weights than stock TRL's"
    assert any(entry.get("grad_norm", 0) > 0 for entry in ours.state.log_history), "nothing was trained"


# Fields together, in runs that end in stock TRL's weights.

FIELDS_OF_BOTH: list[dict[str, Any]] = [
    {
        "adam_beta1": 0.8,
        "adam_beta2": 0.9,
        "adam_epsilon": 1e-6,
        "weight_decay": 0.1,
        "max_grad_norm": 0.1,
        "lr_scheduler_type": "cosine",
        "lr_scheduler_kwargs": {"num_cycles": 0.7},
        "warmup_steps": 1,
        "gradient_accumulation_steps": 2,
        "average_tokens_across_devices": False,
        "neftune_noise_alpha": 5.0,
        "model_init_kwargs": {"dtype": "float32"},
        "pad_to_multiple_of": 16,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": True,
    },
    {
        "optim": "adafactor",
        "bf16": True,
        "gradient_checkpointing": True,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "dataloader_drop_last": True,
        "dataloader_pin_memory": False,
        "accelerator_config": {"even_batches": False, "use_seedable_sampler": False},
        "ignore_data_skip": True,
        "label_names": ["labels"],
        "length_column_name": "long",
        "seed": 5,
        "data_seed": 7,
        "eval_on_start": False,
        "torch_empty_cache_steps": 1,
    },
]
FIELDS_OF_GRPO: list[dict[str, Any]] = [
    {
        "num_generations": 2,
        "steps_per_generation": 2,
        "num_iterations": 2,
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.01,
        "repetition_penalty": 1.1,
        "generation_kwargs": {"no_repeat_ngram_size": 4},
        "scale_rewards": "batch",
        "reward_weights": [0.5],
        "epsilon": 0.1,
        "epsilon_high": 0.3,
        "top_entropy_quantile": 0.5,
        "entropy_coef": 0.01,
        "max_steps": 4,
    },
    {
        "generation_batch_size": 8,
        "loss_type": "grpo",
        "importance_sampling_level": "sequence",
        "mask_truncated_completions": True,
        "off_policy_mask_threshold": 0.5,
        "use_adaptive_entropy": True,
        "disable_dropout": True,
        "cast_lm_head_to_fp32": True,
        "multi_objective_aggregation": "normalize_then_sum",
        "log_completions": True,
        "num_completions_to_print": 0,
        "log_unique_prompts": True,
        "remove_unused_columns": True,
    },
]
FIELDS_OF_SFT: list[dict[str, Any]] = [
    {"completion_only_loss": False, "max_length": 9, "eos_token": ".", "dataset_num_proc": 1},
    {"padding_free": True, "max_length": None, "loss_type": "dft"},
    {"label_smoothing_factor": 0.1},
]


@pytest.mark.parametrize("options", [*FIELDS_OF_BOTH, *FIELDS_OF_GRPO], ids=range(4))
def test_grpo_with_fields_is_stock_trl(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_equal(*grpo(tmp_path, options))


@pytest.mark.parametrize("options", [*FIELDS_OF_BOTH, *FIELDS_OF_SFT], ids=range(5))
def test_sft_with_fields_is_stock_trl(tmp_path: Path, options: dict[str, Any]) -> None:
    assert_equal(*sft(tmp_path, options))


def test_every_field_that_is_tried_has_an_entry() -> None:
    for options in FIELDS_OF_BOTH:
        assert set(options) <= set(FIELDS["GRPOConfig"]) & set(FIELDS["SFTConfig"])


# Arguments of the constructors.


def reward_model() -> Any:
    torch.manual_seed(1)
    return LlamaForSequenceClassification(LlamaConfig(**tiny.SIZES, num_labels=1))


def test_rewards_of_every_kind(tmp_path: Path) -> None:
    rewards: Callable[[], list[Any]] = lambda: [letters, asynchronous, Judge(), lambda completions, **_: [1.0] * len(completions), reward_model()]  # fmt: skip  # noqa: E731, E501
    classes = lambda: [None, None, None, None, tiny.tokenizer()]  # noqa: E731
    options = {"reward_weights": [1.0, 0.5, 2.0, 1.0, 0.1]}
    assert_equal(*grpo(tmp_path, options, reward_funcs=rewards, reward_processing_classes=classes))


def test_a_reward_model_and_a_model_by_name_with_a_reference(tmp_path: Path, tiny_path: str) -> None:
    folder = tmp_path / "reward"
    reward_model().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    options = {"beta": 0.1, "sync_ref_model": True, "ref_model_sync_steps": 1}
    by_name = {"model": lambda: tiny_path, "processing_class": lambda: None, "reward_funcs": lambda: str(folder)}
    assert_equal(*grpo(tmp_path, options, **by_name))


class Environment:
    def reset(self, **row: Any) -> str:
        self.index = row["index"]
        return f"start {self.index}"

    def look(self, where: str) -> str:
        """
        Looks somewhere.

        Args:
            where: Where to look.

        Returns:
            What is there.
        """
        return where

    def get_reward(self) -> float:
        return float(self.index % 7)


class Unhurried(Environment):
    async def get_reward(self) -> float:  # type: ignore[override]
        return 2.0


def talking() -> Any:
    tokens = tiny.tokenizer()
    tokens.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    return tokens


@pytest.mark.parametrize("several", [False, True])
def test_environments_over_the_rows_of_a_dataset(tmp_path: Path, several: bool) -> None:
    data = tiny.dataset(conversational=True).map(lambda row: {"environment": "xy"[row["index"] % 2]})
    factory: Any = {"x": Environment, "y": Unhurried} if several else Environment
    ours, stock = grpo(
        tmp_path,
        {"per_device_train_batch_size": 8},
        train_dataset=lambda: data,
        processing_class=talking,
        environment_factory=lambda: factory,
    )
    assert_equal(ours, stock)
    assert ours.reward_func_names[-1] == ("Unhurried" if several else "Environment")


def test_sft_takes_a_loss_metrics_an_optimizer_and_sets_of_evaluation(tmp_path: Path) -> None:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        logits = outputs.logits[:, :-1].flatten(0, 1)
        return torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), ignore_index=-100)

    ours, stock = sft(
        tmp_path,
        {"eval_strategy": "steps", "eval_steps": 1},
        compute_loss_func=lambda: loss,
        compute_metrics=lambda: lambda seen: {"rows": float(len(seen.predictions))},
        preprocess_logits_for_metrics=lambda: lambda logits, labels: logits.argmax(-1),
        optimizer_cls_and_kwargs=lambda: (torch.optim.SGD, {"lr": 0.1}),
        eval_dataset=lambda: DatasetDict({"a": tiny.sft_dataset(4), "b": tiny.sft_dataset(5)}),
        callbacks=lambda: [transformers.TrainerCallback()],
    )
    assert_equal(ours, stock)
    assert {"eval_a_rows", "eval_b_rows"} <= {key for entry in ours.state.log_history for key in entry}


def test_sft_formats_rows_with_a_function(tmp_path: Path) -> None:
    data = tiny.sft_dataset().rename_columns({"prompt": "question", "completion": "answer"})
    both = {"train_dataset": lambda: data, "peft_config": lambda: LORA}
    assert_equal(*sft(tmp_path, {}, formatting_func=lambda: lambda row: row["question"] + row["answer"], **both))
    with pytest.raises(ValueError, match="none of TRL's formats"):
        sft(tmp_path, {}, formatting_func=lambda: None, **both)


# Arguments of TRL, in place of ours.


def test_plain_training_arguments(tmp_path: Path) -> None:
    options = {"hub_token": "hf_secret", "learning_rate": 0.25, "max_steps": 3, "use_cpu": True, "bf16": False}
    args = TrainingArguments(str(tmp_path), **options)
    run = CurriculumSFTTrainer(tiny.model(), args, train_dataset=tiny.sft_dataset(), processing_class=tiny.tokenizer())
    assert type(run.args) is CurriculumSFTConfig and run.curriculum.method == Uniform()
    assert all(getattr(run.args, name) == value for name, value in options.items())
    with pytest.raises(TypeError, match=r"args is of the type TrainingArguments; .* takes a CurriculumGRPOConfig, or"):
        CurriculumGRPOTrainer(tiny.model(), letters, args, tiny.dataset())


def test_trls_arguments_with_a_curriculum_of_the_constructor(tmp_path: Path) -> None:
    args = GRPOConfig(str(tmp_path), **OPTIONS | GROUPS | {"steps_per_generation": 2, "scale_rewards": False})
    run = CurriculumGRPOTrainer(
        tiny.model(),
        letters,
        args,
        tiny.dataset(),
        processing_class=tiny.tokenizer(),
        curriculum={"edco": {"score_by": "random", "rounds": 1, "top_n": 8}},
    )
    assert type(run.args) is CurriculumGRPOConfig and run.curriculum.method == EDCO(
        score_by="random", rounds=1, top_n=8
    )
    kept = {name for name in vars(args) if getattr(run.args, name) is not getattr(args, name)}
    assert not kept and type(args) is GRPOConfig, "the user's arguments are as they were"
    run.train()
    assert len(run.history()) == 2


@pytest.mark.parametrize("wrong", [{"output_dir": "x"}, "x", GRPOConfig, 3])
def test_other_arguments(tmp_path: Path, wrong: Any) -> None:
    made = wrong(str(tmp_path), use_cpu=True, bf16=False) if wrong is GRPOConfig else wrong
    with pytest.raises(TypeError, match=r"args is of the type .*; CurriculumSFTTrainer takes a CurriculumSFTConfig"):
        CurriculumSFTTrainer(tiny.model(), made, train_dataset=tiny.sft_dataset())


# What is refused.

SMOOTHED = {"label_smoothing_factor": 0.1}
SHAPERS = {"GRPOConfig": "clip_cov", "SFTConfig": "entropy_sft"}
ORDERED = {"curriculum": "order", "difficulty_column": "index"}
REFUSED: dict[tuple[str, str], list[tuple[dict[str, Any], str]]] = {
    ("GRPOConfig", "shuffle_dataset"): [({"shuffle_dataset": False}, "asks for the order of the dataset")],
    ("GRPOConfig", "auto_find_batch_size"): [({"auto_find_batch_size": True}, "not supported by GRPO")],
    ("SFTConfig", "shuffle_dataset"): [({"shuffle_dataset": True} | ORDERED, "asks for shuffled rows")],
    ("SFTConfig", "auto_find_batch_size"): [({"auto_find_batch_size": True}, "starts training over")],
    ("SFTConfig", "packing_strategy"): [
        ({"packing": True, "packing_strategy": name}, "cuts rows into pieces") for name in ("wrapped", "bfd_split")
    ],
}
for _config in FIELDS:
    REFUSED |= {
        (_config, "train_sampling_strategy"): [
            ({"train_sampling_strategy": "sequential"}, "asks for the order of the dataset"),
            ({"train_sampling_strategy": "group_by_length"}, "makes batches by length"),
            ({"train_sampling_strategy": "batch_rebalance"}, "makes batches by length"),
        ],
        (_config, "accelerator_config"): [
            ({"accelerator_config": {name: True}}, f"accelerator_config.{name}=True has no effect")
            for name in ("split_batches", "dispatch_batches")
        ],
        (_config, "label_smoothing_factor"): [
            (SMOOTHED | {"shaping": [SHAPERS[_config]]}, "tokens cannot be weighed")
        ],
    }
BY_TESTS_OF_THEIR_OWN = {("GRPOConfig", "parallelism_config"), ("SFTConfig", "parallelism_config")}  # test_checks.py


def test_every_refusal_is_tried() -> None:
    some = ("refused", "in part")
    refused = {(config, name) for config, fields in FIELDS.items() for name in fields if fields[name].how in some}
    assert refused == set(REFUSED) | BY_TESTS_OF_THEIR_OWN
    assert all(FIELDS[config][name].note for config, name in refused)


@pytest.mark.parametrize(
    ("config", "options", "words"), [(key[0], *each) for key, tries in REFUSED.items() for each in tries]
)
def test_refused(tmp_path: Path, config: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        if config == "GRPOConfig":
            args: Any = CurriculumGRPOConfig(str(tmp_path), **OPTIONS | GROUPS | options)
            CurriculumGRPOTrainer(tiny.model(), letters, args, tiny.dataset(), processing_class=tiny.tokenizer())
        else:
            args = CurriculumSFTConfig(str(tmp_path), **OPTIONS | options)
            data = tiny.sft_dataset()
            CurriculumSFTTrainer(tiny.model(), args, train_dataset=data, processing_class=tiny.tokenizer())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("asked", [{"shuffle_dataset": False}, {"train_sampling_strategy": "sequential"}])
def test_an_order_that_is_asked_for_goes_with_order(tmp_path: Path, asked: dict[str, Any]) -> None:
    args = CurriculumGRPOConfig(str(tmp_path), **OPTIONS | GROUPS | ORDERED | asked)
    run = CurriculumGRPOTrainer(tiny.model(), letters, args, tiny.dataset(), processing_class=tiny.tokenizer())
    run.train()
    assert len(run.history()) == 2


def test_shuffling_goes_with_any_other(tmp_path: Path) -> None:
    ours, stock = sft(tmp_path, {"shuffle_dataset": True})
    assert_equal(ours, stock)


@pytest.mark.parametrize("empty", [None, []])
def test_a_column_of_no_images_is_left_out(tmp_path: Path, empty: Any) -> None:
    data = Dataset.from_list([row | {"images": empty} for row in tiny.sft_dataset(8)])
    args = CurriculumSFTConfig(str(tmp_path), **OPTIONS)
    run = CurriculumSFTTrainer(tiny.model(), args, train_dataset=data, processing_class=tiny.tokenizer())
    assert "images" not in run.train_dataset.column_names
    some = Dataset.from_list([row | {"images": ["x"] if row["index"] == 5 else []} for row in tiny.sft_dataset(8)])
    with pytest.raises(ValueError, match=r"The column 'images' of the training dataset holds images \(row 5\)"):
        CurriculumSFTTrainer(tiny.model(), args, train_dataset=some, processing_class=tiny.tokenizer())


def test_two_rewards_of_one_name_cannot_decide(tmp_path: Path) -> None:
    args = CurriculumGRPOConfig(str(tmp_path), **OPTIONS | GROUPS | {"rollouts": [{"refill": {"outcome": "letters"}}]})
    with pytest.raises(ValueError, match="outcome='letters', and 2 reward functions have this name"):
        CurriculumGRPOTrainer(
            tiny.model(), [letters, letters], args, tiny.dataset(), processing_class=tiny.tokenizer()
        )
