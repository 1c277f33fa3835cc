"""A reward of tests in tiers, of which harder ones come to count as training goes on."""

import json
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tqdm.auto import tqdm

from ..evaluation.sandbox import check_sandbox, run
from ..options import shorten
from ..registry import option
from .answers import Completion, text_of
from .base import REWARDS, Reward, Rewards


if TYPE_CHECKING:
    from datasets import Dataset

TIERS = ("basic", "medium", "high", "edge")
ORDERS = {"easy_first": TIERS, "hard_first": ("high", "edge", "medium", "basic")}
WEIGHTS = {
    "uniform": (0.25, 0.25, 0.25, 0.25),
    "var": (0.35, 0.35, 0.15, 0.15),
    "asce": (0.15, 0.15, 0.35, 0.35),
}
KEYS = ("label", "input", "output")
FORM = f"a list of tests with {', '.join(KEYS)}, each a text, and a label of {', '.join(TIERS)}"
AT_ONCE = min(16, os.cpu_count() or 1)  # programs
FENCED = re.compile(r"```(?:python|py)[^\n]*\n(.*?)```", flags=re.DOTALL | re.IGNORECASE)

# The program reads its input where programs do, and what it prints is compared by a file that it wrote
TRY = """
import os, sys
given, program, expected = {given!r}, {program!r}, {expected!r}
with open("given", "wb") as file:
    file.write(given.encode(errors="surrogatepass"))
os.dup2(os.open("given", os.O_RDONLY), 0)
os.dup2(os.open("said", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)
try:
    exec(compile(program, "<program>", "exec"), {{"__name__": "__main__", "exit": sys.exit, "quit": sys.exit}})
except SystemExit as ended:
    if ended.code:
        raise
sys.stdout.flush()
with open("said", "rb") as file:
    said = file.read().decode(errors="replace")
assert [line.strip() for line in said.strip().splitlines()] == expected
"""


@REWARDS.add("tarot", paper="TAROT, 2026")
@dataclass(frozen=True)
class Tarot(Reward):
    r"""
    Tests in four tiers, run on the program that a completion writes: harder tiers come to count as training goes on.

    With w the weight of a tier and pass the share of its tests that the program passes, the reward is

    $$ \sum_{\text{tiers that count now}} w_\text{tier} \cdot \text{pass}_\text{tier}, $$

    where in the first fifth of the training only the first tier of the order counts, in the second fifth the first
    two, in the third the first three, and then all. Evaluation pays what counts at its time. `hard_first` takes high,
    edge, medium and basic: by the paper strong models do better with it, and weak ones with `easy_first`.

    The program is the last block of Python in the completion; without one the reward is 0. It is given a test's
    `input` on its standard input, and passes if it ends and prints the lines of `output`, but for spaces at their
    ends. It runs in the sandbox of evaluations, which needs Linux namespaces, with its limits of time and memory. The
    paper's code compares no more lines than the shorter of both has; here all have to be there.

    The dataset's column `tests` holds the tests of each row, as the paper's data has them: a list of mappings with the
    keys `label` (the tier), `input` and `output`, or its JSON. A row none of whose tiers counts yet gets `None` (not
    applicable). What a completion earns for the same tests changes at each fifth: bandits that compare rewards over
    time see that as progress, or its opposite.

    Source: TAROT, February 2026, and its code.

    Example:

    ```python
    >>> from trl_curriculum.rewards.tarot import Tarot
    >>> Tarot().tiers(0.0), Tarot(order="hard_first").tiers(0.3)
    (('basic',), ('high', 'edge'))

    ```
    """

    weights: Literal["uniform", "var", "asce"] = option(
        "uniform",
        "Weights of basic, medium, high and edge: all .25; .35 .35 .15 .15; or .15 .15 .35 .35.",
        "its code's",
    )
    order: Literal["easy_first", "hard_first"] = option(
        "easy_first", "In which order tiers come to count.", "its code's (the other: `rev`)"
    )

    def tiers(self, progress: float) -> tuple[str, ...]:
        """The tiers that count when a share of the training is done."""
        return ORDERS[self.order][: 1 + int(progress * 5 + 1e-9)]

    def prepare(self, dataset: "Dataset") -> None:
        """Refuses rows whose tests cannot be read, and a machine without a sandbox."""
        if "tests" not in dataset.column_names:
            raise ValueError(f"`tarot` needs a dataset column 'tests' with {FORM} in each row.")
        rows = tqdm(dataset.select_columns(["tests"]), desc="Reading tests", disable=len(dataset) < 20_000)
        for k, row in enumerate(rows):
            _read(row["tests"], f"row {k}")
        check_sandbox()

    def __call__(
        self,
        completions: list[Completion],
        tests: list[Any] | None = None,
        trainer_state: Any = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> Rewards:
        if tests is None:
            raise ValueError(f"`tarot` needs a dataset column 'tests' with {FORM} in each row.")
        steps = getattr(trainer_state, "max_steps", 0)
        counting = self.tiers(trainer_state.global_step / steps if steps > 0 else 1.0)
        if log_metric is not None:
            log_metric("rewards/tiers", float(len(counting)))
        asked = [
            [test for test in _read(own, f"completion {k}") if test["label"] in counting]
            for k, own in enumerate(tests)
        ]
        programs = [(FENCED.findall(text_of(one)) or [None])[-1] for one in completions]
        jobs = {
            _trial(program, test)
            for program, own in zip(programs, asked, strict=True)
            if program is not None
            for test in own
        }
        with ThreadPoolExecutor(AT_ONCE) as pool:
            passed = {job: why is None for job, why in zip(jobs, pool.map(run, jobs), strict=True)}
        return [
            self._reward([(test["label"], passed.get(_trial(program, test), False)) for test in own]) if own else None
            for program, own in zip(programs, asked, strict=True)
        ]

    def _reward(self, results: list[tuple[str, bool]]) -> float:
        total = 0.0
        for tier, weight in zip(TIERS, WEIGHTS[self.weights], strict=True):
            own = [passed for label, passed in results if label == tier]
            total += weight * sum(own) / len(own) if own else 0.0
        return total


def _trial(program: str | None, test: Mapping[str, str]) -> str:
    """The program that tries another one on a test; it fails where the other one does."""
    expected = [line.strip() for line in test["output"].strip().splitlines()]
    return TRY.format(given=test["input"], program=program, expected=expected)


def _read(tests: Any, where: str) -> list[Mapping[str, str]]:
    """The tests of a row."""
    held = tests
    if isinstance(tests, str):
        try:
            held = json.loads(tests)
        except json.JSONDecodeError as error:
            raise ValueError(f"`tarot`: the tests of {where} are no JSON ({error}): give {FORM}.") from error
    for test in held or ():
        whole = isinstance(test, Mapping) and all(isinstance(test.get(key), str) for key in KEYS)
        if not whole or test["label"] not in TIERS:
            raise ValueError(f"`tarot`: the tests of {where} hold {shorten(test)}: give {FORM}.")
    return list(held or ())
