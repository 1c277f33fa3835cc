"""How good a model is on held-out rows, per task: loss of the right answers, and its own answers judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..disk.partial import by_length
from ..generators import Candidate, to_dataset
from ..lm.engines import Sampling
from ..lm.losses import row_losses, tokenize_examples
from ..lm.transformers_engine import TransformersEngine
from ..rewards.functions import RewardFunction, reward
from ..signals import FloatArray
from .model import Model
from .stage import Report, Stage


@dataclass(frozen=True)
class Evaluate(Stage):
    """
    Scores a model on held-out rows, see [`score`]; without rows it reports nothing.

    Args:
        model ([`Model`]):
            The model.
        rows (`list[Candidate]`):
            Held-out rows.
        accuracy (`str`, *optional*):
            Name of the reward function that judges its own answers.
        max_answer_tokens (`int`):
            Tokens of such an answer at most.
        max_length (`int`, *optional*):
            Tokens to which a row is cut for its loss.
    """

    main_process_only = True
    model: Model
    rows: list[Candidate]
    accuracy: str | None
    max_answer_tokens: int
    max_length: int | None

    def run(self, folder: Path) -> Report:
        if not self.rows:
            return {}
        judge = reward(self.accuracy) if self.accuracy is not None else None
        return score(
            self.model.load(), self.model.tokenizer, self.rows, judge, self.max_answer_tokens, self.max_length
        )


def score(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Candidate],
    judge: RewardFunction | None = None,
    max_new_tokens: int = 256,
    max_length: int | None = None,
    batch_tokens: int = 8192,
) -> dict[str, dict[str, float]]:
    """
    Scores of a model, each by the rows' `source` and over `all` of them.

    Args:
        model, tokenizer:
            The model.
        rows (`Sequence[Candidate]`):
            Held-out rows.
        judge (`Callable`, *optional*):
            Reward function of the model's most probable answers, by the column `answer`. Default: it writes none.
        max_new_tokens (`int`, *optional*, defaults to `256`):
            Tokens of such an answer at most.
        max_length (`int`, *optional*):
            Tokens to which a row is cut for its loss.
        batch_tokens (`int`, *optional*, defaults to `8192`):
            Tokens of one batch, padding and answers included.

    Returns:
        `dict` with `loss`, in nats per token, and with a judge `accuracy`, its mean reward over the rows with an
        answer; a task without such a row has none.
    """
    scores = {"loss": row_losses(model, tokenize_examples(to_dataset(rows), tokenizer, max_length), batch_tokens)}
    if judge is not None:
        scores["accuracy"] = _judged(model, tokenizer, rows, judge, max_new_tokens, batch_tokens)
    source = np.array([one.source for one in rows])
    return {name: _by_source(value, source) for name, value in scores.items()}


def _judged(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Candidate],
    judge: RewardFunction,
    max_new_tokens: int,
    batch_tokens: int,
) -> FloatArray:
    """Reward of the most probable answer to each row, shape `(n,)`; NaN where it cannot be judged."""
    engine, greedy = TransformersEngine(model, tokenizer), Sampling(temperature=0, max_new_tokens=max_new_tokens)
    asked = np.array([k for k, row in enumerate(rows) if row.answer is not None], dtype=int)
    prompts = [engine.encode(rows[k].prompt) for k in asked]
    found = np.full(len(rows), np.nan)
    for batch in by_length(np.array([len(ids) + max_new_tokens for ids in prompts]), batch_tokens):
        written = engine.complete([prompts[k] for k in batch], greedy, [0] * len(batch))
        rewards = judge([one.text for one in written], answer=[rows[k].answer for k in asked[batch]])
        found[asked[batch]] = [np.nan if reward is None else reward for reward in rewards]
    return found


def _by_source(value: FloatArray, source: Any) -> dict[str, float]:
    groups = {str(name): value[source == name] for name in np.unique(source)} | {"all": value}
    return {name: float(np.nanmean(part)) for name, part in groups.items() if not np.isnan(part).all()}
