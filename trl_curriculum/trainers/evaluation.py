"""What curriculum trainers report of an evaluation: several sets each by its name, and their mean."""

import math
from typing import Any


MEANS = ("loss", "reward")  # of several sets, under the name that one set has


class EvaluationMixin:
    """
    Evaluation over one set or several.

    TRL drops the name of a set from its own metrics, and reports no reward to those who ask for the best model. Here
    every key has the name of its set, `eval_loss` (and with GRPO `eval_reward`) is the mean over the sets, whatever
    their sizes, and a best model can follow either.
    """

    eval_dataset: Any
    model: Any
    _metrics: Any
    _eval_set = ""
    _eval_reward: float | None = None

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if not self.model.training:
            metrics = self._metrics["eval"]
            rewards = [value for value in metrics.get("reward", ()) if not math.isnan(value)]
            if rewards:
                self._eval_reward = sum(rewards) / len(rewards)
            if self._eval_set:
                for key in list(metrics):
                    metrics[f"{self._eval_set}_{key}"] = metrics.pop(key)
        super().log(logs, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        self._eval_set, self._eval_reward = metric_key_prefix.removeprefix("eval").removeprefix("_"), None
        metrics = super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)  # type: ignore[misc]
        sets = self.eval_dataset if eval_dataset is None else eval_dataset
        if isinstance(sets, dict):  # each of which has come by here
            self._eval_set = ""
            means = means_over(metrics, list(sets), metric_key_prefix)
            if means:
                self.log(dict(means))
            metrics |= means
        elif self._eval_reward is not None:
            metrics[f"{metric_key_prefix}_reward"] = self._eval_reward
        return metrics


def means_over(metrics: dict[str, float], sets: list[str], prefix: str = "eval") -> dict[str, float]:
    """The mean over sets of what all of them report, each set counting alike."""
    means = {}
    for what in MEANS:
        values = [metrics[key] for name in sets if (key := f"{prefix}_{name}_{what}") in metrics]
        if sets and len(values) == len(sets):
            means[f"{prefix}_{what}"] = sum(values) / len(values)
    return means
