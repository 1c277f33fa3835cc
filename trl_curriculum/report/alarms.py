"""When a curriculum needs a person: it draws one arm, its groups teach nothing, or its rows stay failed."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from ..data.names import shown
from .measures import is_scored
from .rows_over_time import PATIENCE, sequences


RECENT = 256  # draws that are looked at, the last ones
FEWEST = 64  # of which there must be so many
NEARLY_ALL = 0.95
MANY = 0.5


class Alarm(NamedTuple):
    """
    Args:
        title (`str`):
            What is wrong.
        text (`str`):
            By which numbers, and what may help.
    """

    title: str
    text: str


def alarms(history: pd.DataFrame, n_arms: int) -> list[Alarm]:
    """
    What is wrong with the last 256 draws.

    - *collapsed onto one arm*: of two or more arms, one has at least 95 % of the draws;
    - *groups without variance* (GRPO): at least 95 % of the scored groups have rewards that are all alike;
    - *stuck* (GRPO): at least half of the draws went to rows whose last three groups or more had earned nothing.

    Args:
        history (`pandas.DataFrame`):
            All draws so far; nothing is said before there are 64.
        n_arms (`int`):
            Arms of the pool.
    """
    if len(history) < FEWEST:
        return []
    history = history.sort_values("draw", kind="stable").reset_index(drop=True)
    last, found = history.tail(RECENT), []
    arm, share = last["arm"].value_counts().index[0], last["arm"].value_counts(normalize=True).iloc[0]
    if n_arms > 1 and share >= NEARLY_ALL:
        text = f"{share:.0%} of the last {len(last)} draws are of {shown(arm)!r}, one of {n_arms:,} arms"
        found.append(Alarm("The curriculum has collapsed onto one arm", f"{text}: a higher temperature spreads them."))
    if "reward" not in history:
        return found
    zero = last["zero_variance"].to_numpy(bool)[is_scored(last)]
    if len(zero) >= FEWEST and zero.mean() >= NEARLY_ALL:
        text = f"In {zero.mean():.0%} of the last {len(zero)} scored groups all rewards are alike"
        found.append(Alarm("Nearly all groups are without variance", f"{text}: these steps teach nothing."))
    states = sequences(history)
    recent = states.draw >= len(history) - len(last)
    stuck = states.before[recent] == states.names.index("stuck")
    if len(stuck) >= FEWEST and np.mean(stuck) >= MANY:
        text = f"{np.mean(stuck):.0%} of the last {len(stuck)} draws went to rows that had failed {PATIENCE} times"
        found.append(Alarm("The curriculum is stuck", f"{text}: are they out of reach, or their golds wrong?"))
    return found
