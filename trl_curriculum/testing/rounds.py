"""What all rounds do: they say how often, and what is finished is never done again."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..rounds import Job
from .case import Case


@dataclass(frozen=True)
class RoundsCase(Case):
    """
    Args:
        job (`Callable`, *optional*):
            Makes a small [`Job`] that writes into a folder. Default: they are not run.
    """

    job: Callable[[Path], Job] | None = None


def the_plan_says_how_often(case: RoundsCase) -> None:
    assert str(replace(case.method, rounds=7).rounds) in replace(case.method, rounds=7).plan()


def a_finished_round_is_not_done_again(case: RoundsCase) -> None:
    if case.job is None:
        return
    with TemporaryDirectory() as folder:
        first = replace(case.method, rounds=1).run(case.job(Path(folder)))
        written = {file: file.stat().st_mtime_ns for file in first.rglob("*") if file.is_file()}
        assert any(file.name.startswith("adapter_model") for file in written)
        last = replace(case.method, rounds=2).run(case.job(Path(folder)))
        assert last != first and any(file.name.startswith("adapter_model") for file in last.rglob("*"))
        assert {file: file.stat().st_mtime_ns for file in written} == written


ROUNDS = [the_plan_says_how_often, a_finished_round_is_not_done_again]
