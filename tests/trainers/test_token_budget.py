"""A budget of tokens by itself; what it does in runs is in test_sft.py."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import TrainerControl, get_cosine_schedule_with_warmup

from trl_curriculum.trainers.token_budget import TokenBudget


def scheduler() -> Any:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    return get_cosine_schedule_with_warmup(optimizer, 10, 100)


def test_progress_is_the_share_that_is_spent_and_never_above_1() -> None:
    budget = TokenBudget(200)
    shares = [budget.progress]
    for tokens in (50, 100, 90):
        budget.spend(tokens, scheduler())
        shares.append(budget.progress)
    assert shares == [0.0, 0.25, 0.75, 1.0] and budget.tokens == 240


def test_without_a_budget_tokens_are_counted_and_nothing_else() -> None:
    budget, made = TokenBudget(None), scheduler()
    budget.spend(50, made)
    assert budget.tokens == 50 and budget.progress is None and made.last_epoch == 0
    args = SimpleNamespace(max_steps=-1, save_strategy="steps", eval_strategy="steps")
    budget.limit_steps(args, 10)
    assert args.max_steps == -1
    assert not budget.on_step_end(args, None, TrainerControl()).should_training_stop


def test_the_learning_rate_stands_where_the_tokens_are() -> None:
    budget, made = TokenBudget(100), scheduler()
    for tokens, spent in ((5, 5), (20, 25), (60, 85)):
        budget.spend(tokens, made)
        made.optimizer.step()
        made.step()
        assert made.get_last_lr() == [made.lr_lambdas[0](spent)]


@pytest.mark.parametrize(("before", "after"), [(-1, 26), (0, 26), (7, 7)])
def test_steps_are_limited_where_they_are_not_set(before: int, after: int) -> None:
    args = SimpleNamespace(max_steps=before)
    TokenBudget(100).limit_steps(args, least=4)  # 25 steps of 4 tokens reach it, and no run takes more
    assert args.max_steps == after


@pytest.mark.parametrize("strategy", ["steps", "epoch", "no"])
def test_the_step_that_reaches_it_is_the_last_and_is_saved_and_evaluated(strategy: str) -> None:
    args = SimpleNamespace(save_strategy=strategy, eval_strategy=strategy)
    budget = TokenBudget(100)
    for tokens, stops in ((99, False), (1, True)):
        budget.spend(tokens, scheduler())
        control = budget.on_step_end(args, None, TrainerControl())
        assert control.should_training_stop == stops
        assert control.should_save == control.should_evaluate == (stops and strategy == "steps")


def test_what_others_asked_for_at_the_end_of_a_step_stays() -> None:
    args = SimpleNamespace(save_strategy="no", eval_strategy="no")
    budget = TokenBudget(100)
    budget.spend(100, scheduler())
    control = budget.on_step_end(args, None, TrainerControl(should_save=True, should_evaluate=True))
    assert control.should_training_stop and control.should_save and control.should_evaluate


def test_only_schedules_of_the_step_alone_follow_tokens() -> None:
    budget, made = TokenBudget(100), scheduler()
    assert budget.check_scheduler(made, "cosine") is made
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(made.optimizer)
    with pytest.raises(ValueError, match="lr_scheduler_type='reduce_lr_on_plateau' cannot follow tokens"):
        budget.check_scheduler(other, "reduce_lr_on_plateau")
