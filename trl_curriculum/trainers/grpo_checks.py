"""The check of a GRPO trainer's columns, rows and rewards."""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from ..data.rendered import check_prompts, window_of
from ..data.reserved import refuse_reward_arguments, without_images
from ..data.rows import Rows, read
from ..pool import Pool
from ..rewards import Reward
from ..rewards.golds import check_golds
from ..rewriting import Moment
from ..rollouts import RolloutMethod
from ..rollouts.base import overrides
from ..shaping import Shaper
from ..shaping.base import has
from ..signals import IntArray
from .row_checks import TRAINING, all_rows, by_name, check_forms, evaluation, without_images_in


logger = logging.getLogger(__name__)

Rewrite = Callable[[dict[str, Any]], dict[str, Any]]


class GRPOChecks:
    """
    Checks what a GRPO trainer is given: columns, the form of rows and rewards at once, prompts once it is made.

    Args:
        train_dataset, eval_dataset, reward_funcs, args:
            As the trainer has them.
        has_environment (`bool`):
            Whether prompts may come from an environment.
        has_rollout_func (`bool`):
            Whether the user's own function generates: it may add columns for rewards.
        made (`tuple`, *optional*):
            Methods of rollouts and shapers, which may rewrite prompts and add such columns too.

    Attributes:
        rows ([`~trl_curriculum.data.rows.Rows`]):
            What is left of the training rows.
        eval_dataset:
            Without columns for images that hold none.
        reward_funcs (`list`):
            As given, always a list.
    """

    def __init__(
        self,
        train_dataset: Dataset,
        eval_dataset: Any,
        reward_funcs: Any,
        args: Any,
        has_environment: bool,
        has_rollout_func: bool,
        made: tuple[tuple[Any, ...], tuple[Any, ...]] = ((), ()),
    ) -> None:
        train_dataset, self.eval_dataset = without_images(train_dataset, TRAINING), without_images_in(eval_dataset)
        refuse_reward_arguments(train_dataset.column_names, has_environment)
        if args.process_index == 0:
            warn_of_template_columns(train_dataset)
        self.rows = check_grpo_forms(train_dataset, TRAINING, args, has_environment)
        self._eval_rows = {
            name: check_grpo_forms(dataset, evaluation(name), args, has_environment)
            for name, dataset in by_name(self.eval_dataset).items()
        }
        self.reward_funcs = reward_funcs if isinstance(reward_funcs, list) else [reward_funcs]
        check_reward_weights(args, self.reward_funcs)
        self._longest, added = rewriters(*made), refuse_taken_columns(made[0], self.rows.dataset.column_names)
        if self._longest and "prompt" not in self.rows.dataset.column_names:
            raise ValueError(
                "Prompts are to be rewritten, and the dataset has no column 'prompt': leave the method out."
            )
        for function in self.reward_funcs:
            if isinstance(function, Reward) and not has_rollout_func:  # which may write columns
                function.prepare(self.rows.dataset)
        check_golds(self.reward_funcs, self.rows.dataset, args.process_index == 0, not (has_rollout_func or added))

    def check_prompts(self, trainer: Any) -> tuple["PromptCheck", Any]:
        """What the trainer can generate from, and its evaluation datasets as far as it can."""
        checked = {name: check_grpo_prompts(part, trainer).rows.dataset for name, part in self._eval_rows.items()}
        if not checked:
            left = trainer.eval_dataset
        else:
            left = self.eval_dataset | checked if isinstance(self.eval_dataset, dict) else checked[""]
        return check_grpo_prompts(self.rows, trainer, self._longest), left


def rewriters(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...]) -> list[Rewrite]:
    """What makes of a row its longest rewriting, one after the other."""
    bound = [shaper.bind(Pool(1), 0) for shaper in shapers]
    longest: list[Rewrite] = [method.longest for method in methods if overrides(method, "rewrite")]
    return longest + [lambda row, one=one: one.rewrite(row, Moment()) for one in bound if has(one, "rewrite")]


def refuse_taken_columns(methods: tuple[RolloutMethod, ...], columns: list[str]) -> list[str]:
    """Columns that methods add to rows; refuses those that the dataset has."""
    added = [(method.name, column) for method in methods for column in method.columns]
    for name, column in added:
        if column in columns:
            raise ValueError(f"{name} writes the column {column!r}, which the dataset has already: rename yours.")
    return [column for _, column in added]


def warn_of_template_columns(dataset: Dataset) -> None:
    """Warns of columns that SFT hands to the chat template row by row, and GRPO does not read."""
    options = {
        "tools": "give the functions as the trainer's `tools`, the same for all rows",
        "chat_template_kwargs": "set the option chat_template_kwargs, the same for all rows",
    }
    for name, instead in options.items():
        if name in dataset.column_names and any(row[name] for row in dataset.select_columns([name])):
            logger.warning("GRPO does not read the column %r of the dataset: %s, or remove it.", name, instead)


def check_reward_weights(args: Any, reward_funcs: list[Any]) -> None:
    """Refuses weights of rewards that are not one for each."""
    given, n = args.reward_weights, len(reward_funcs)
    if given is not None and len(given) != n:
        raise ValueError(f"reward_weights={given} are {len(given)}, for {n} reward functions: give one for each.")


def check_grpo_forms(dataset: Dataset, what: str, args: Any, has_environment: bool) -> Rows:
    """The rows whose prompts and answers GRPO can read, before a model is loaded."""
    if "prompt" not in dataset.column_names and not has_environment:
        raise ValueError(
            f"The columns of {what} are {', '.join(dataset.column_names)}, and GRPO generates from a column 'prompt': "
            "rename yours (recipes: prompt_column)."
        )
    answers = (args.answer_column,) if args.answer_column in dataset.column_names else ()
    texts = ["prompt"] if "prompt" in dataset.column_names else []
    return check_forms(all_rows(dataset, what, args), args, texts, answers)


@dataclass(frozen=True)
class PromptCheck:
    """
    What the check of a dataset's prompts has found.

    Args:
        rows ([`~trl_curriculum.data.rows.Rows`]):
            Those that can be generated from.
        length (`IntArray`, shape `(n,)`):
            Tokens of each of their prompts; empty where they were not counted.
        window (`int`, *optional*):
            Tokens of prompt and completion that fit.
    """

    rows: Rows
    length: IntArray
    window: int | None


def check_grpo_prompts(rows: Rows, trainer: Any, longest: Sequence[Rewrite] = ()) -> PromptCheck:
    """Prompts that the trainer can generate from, rewritten by `longest`, rendered and tokenized by itself."""
    args = trainer.args
    window = grpo_window(trainer.model.config, args)
    own = trainer.rollout_func is not None or trainer.environment_factories is not None
    if own or "prompt" not in rows.dataset.column_names:  # what is generated from is made later, by the user's code
        return PromptCheck(rows, np.zeros(0, np.int64), window)
    new = args.max_completion_length or 1
    if window is not None and new >= window:
        if rows.speak:
            logger.warning(
                "max_completion_length=%d leaves no room for a prompt in the %d tokens that the model reads: make it "
                "smaller.",
                new,
                window,
            )
        new = 1
    columns = rows.dataset.column_names if longest else ["prompt"]
    given = read(rows.dataset, columns, "Checking prompts", bool(args.disable_tqdm))
    prompts = (functools.reduce(lambda row, rewrite: rewrite(row), longest, row)["prompt"] for row in given)
    flaws, length = check_prompts(prompts, lambda batch: trainer._tokenize_prompts(batch)[0], window, new)
    left = rows.without(flaws)
    return PromptCheck(left, np.delete(length, list(flaws)), window)


def grpo_window(config: Any, args: Any) -> int | None:
    """Tokens of prompt and completion that fit into what generates."""
    given = args.vllm_max_model_length if args.use_vllm and args.vllm_mode == "colocate" else None
    return given or window_of(config)
