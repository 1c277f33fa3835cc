"""What every method of rounds does before it runs."""

from .case import Case


def it_says_what_a_run_does(case: Case) -> None:
    plan = case.method.plan()
    assert plan and "\n" not in plan and plan == case.method.plan()
