"""Training that ends after a number of tokens, with the learning rate scheduled over them."""

from typing import Any

from torch.optim.lr_scheduler import LambdaLR
from transformers import IntervalStrategy, SchedulerType, TrainerCallback
from transformers.trainer_utils import SaveStrategy


class TokenBudget(TrainerCallback):
    """
    Counts tokens, and where there is a budget of them (`max_tokens`) ends training with the step that reaches it.

    Args:
        budget (`int`, *optional*):
            Input tokens, without padding, of all processes.
        scheduler (*optional*):
            A scheduler of the user's, which does not go with a budget.
    """

    def __init__(self, budget: int | None, scheduler: Any = None) -> None:
        if budget is not None and scheduler is not None:
            raise ValueError(
                "max_tokens schedules the learning rate over tokens, but a scheduler was given; leave it out and set "
                "lr_scheduler_type."
            )
        self.budget = budget
        self.tokens = 0

    @property
    def progress(self) -> float | None:
        """Share of the budget that is spent; `None` without one."""
        return None if self.budget is None else min(self.tokens / self.budget, 1.0)

    def limit_steps(self, args: Any, least: int) -> None:
        """Sets `max_steps`, where it is not set, to more steps than a budget lasts at `least` tokens a step."""
        if self.budget is not None and args.max_steps < 1:
            args.max_steps = self.budget // least + 1

    def spend(self, tokens: int, scheduler: Any) -> None:
        """Counts the tokens of the coming step, and moves the learning rate to where it then shall stand."""
        self.tokens += tokens
        if self.budget is not None:  # the scheduler steps by one after the optimizer
            scheduler.last_epoch = self.tokens - 1

    def check_scheduler(self, scheduler: Any, kind: Any) -> Any:
        """Refuses a schedule that depends on more than the step."""
        if not isinstance(scheduler, LambdaLR):
            raise ValueError(
                f"lr_scheduler_type={SchedulerType(kind).value!r} cannot follow tokens, which max_tokens asks for; "
                "choose one that depends on the step alone, such as 'linear' or 'cosine'."
            )
        return scheduler

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if self.budget is not None and self.tokens >= self.budget:
            control.should_training_stop = True
            control.should_save = control.should_save or args.save_strategy == SaveStrategy.STEPS
            evaluates = args.eval_strategy == IntervalStrategy.STEPS
            control.should_evaluate = control.should_evaluate or evaluates
        return control
