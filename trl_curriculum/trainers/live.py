"""Evaluations by lm-eval while a trainer trains."""

from typing import Any

from transformers import TrainingArguments

from ..evaluation.callback import PREFIX, SHARE, LiveTasks, LMEvalCallback, evaluations


class LiveEvaluation:
    """Makes a trainer evaluate its model on `args.lm_eval`. Stands before one of TRL's trainers, which load it."""

    args: Any
    state: Any

    def __init__(self, model: Any, *positional: Any, **kwargs: Any) -> None:
        args: Any = next(one for one in positional if isinstance(one, TrainingArguments))
        spec = getattr(args, "lm_eval", None)
        self._live = None if spec is None else LiveTasks(spec)  # mistakes are found before a model is loaded
        super().__init__(model, *positional, **kwargs)  # type: ignore[call-arg]

    def _set_up_evaluation(self) -> None:
        """To be called once the trainer is made, and after callbacks that may end the training."""
        if self._live is not None:
            self.add_callback(LMEvalCallback(self, self._live))  # type: ignore[attr-defined]

    @property
    def lm_eval_results(self) -> dict[str, float]:
        """The newest results of `args.lm_eval`, by task, with their standard errors; empty before the first."""
        newest = (evaluations(self.state.log_history) or [{}])[-1]
        own = {name: value for name, value in newest.items() if name.startswith(f"{PREFIX}/") and name != SHARE}
        return {name.removeprefix(f"{PREFIX}/"): value for name, value in own.items()}
