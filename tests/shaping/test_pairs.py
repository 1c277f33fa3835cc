"""Which shapers go together, and in which order: docs/shaping.md says what the frame does."""

import itertools
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from cases import SHAPERS

from trl_curriculum.shaping import SHAPING
from trl_curriculum.testing.batch import Batch, shaping
from trl_curriculum.testing.shaping import results
from trl_curriculum.trainers.fit import refuse_unshapable


PAGE = (Path(__file__).parents[2] / "docs" / "shaping.md").read_text()
METHODS: dict[str, Any] = {name: SHAPERS[name].method for name in SHAPERS if name in SHAPING.built_in}
METHODS = {name: method for name, method in METHODS.items() if "GRPO" in method.trainers}
METHODS["entrocraft"] = SHAPERS["entrocraft-above"].method
METHODS["snr_top_p"] = SHAPING.make({"snr_top_p": {"share": 0.3}})  # so that it leaves out some of a few rollouts
LOWS = (0.4, 0.6)  # of clip_cov, with which it takes all there is: nothing is left to chance


def refused(*names: str) -> bool:
    try:
        refuse_unshapable(tuple(METHODS[name] for name in names), SimpleNamespace())
    except ValueError:
        return True
    return False


def made_of(*names: str) -> np.ndarray:
    found = []
    for low in LOWS:
        clip_cov = SHAPING.make({"clip_cov": {"low": low, "high": 1e9, "ratio": 1.0}})
        frame = shaping(*((METHODS | {"clip_cov": clip_cov})[name] for name in names))
        Batch().shape_rollouts(frame)
        found.append(results(Batch().surer(), frame))
    return np.concatenate(found)


@cache
def pairs() -> dict[str, set[tuple[str, ...]]]:
    """Pairs that are refused, those that are in the other order, and those of which the order matters, or does not."""
    found: dict[str, set[tuple[str, ...]]] = {"refused": set(), "first": set(), "order": set(), "commute": set()}
    for one, other in itertools.combinations(METHODS, 2):
        in_order = [pair for pair in ((one, other), (other, one)) if not refused(*pair)]
        if len(in_order) < 2:
            found["first" if in_order else "refused"].add(in_order[0] if in_order else tuple(sorted((one, other))))
        else:
            same = np.allclose(made_of(one, other), made_of(other, one), rtol=1e-5, atol=1e-7)
            found["commute" if same else "order"].add(tuple(sorted((one, other))))
    return found


def row(begins: str) -> list[str]:
    """The names in a row of the page's table."""
    line = next(line for line in PAGE.splitlines() if line.startswith(f"| {begins} |"))
    return re.findall(r"`(\w+)`", line.split(" | ")[1])


def test_every_shaper_acts_in_these_pairs() -> None:
    plain = made_of()
    for name in METHODS:
        assert not np.allclose(made_of(name), plain), name


def test_what_is_refused_and_what_must_be_first() -> None:
    replacing, adding, steering = (set(row(begins)) for begins in ("replace", "add to rewards", "steer the entropy"))
    for pair in map(frozenset, itertools.combinations(METHODS, 2)):
        nothing = len(pair & replacing) == 2 or (pair & replacing and pair & adding) or pair <= steering
        assert (tuple(sorted(pair)) in pairs()["refused"]) == bool(nothing), set(pair)
        first = [(one, *(pair - {one})) for one in pair & replacing]
        assert nothing or all(one in pairs()["first"] for one in first), set(pair)


def test_where_the_order_matters() -> None:
    assert {first for first, _ in pairs()["first"]} == set(row("replace"))
    named = [row(begins) for begins in ("order matters", "order matters too")]
    assert pairs()["order"] == {tuple(sorted((names[0], other))) for names in named for other in names[1:]}
    assert len(pairs()["commute"]) > 20


def test_the_table_names_every_shaper() -> None:
    named = set(
        itertools.chain.from_iterable(re.findall(r"`(\w+)`", line) for line in PAGE.splitlines() if line[:1] == "|")
    )
    assert set(METHODS) == {name for name, cls in SHAPING.built_in.items() if "GRPO" in cls.trainers} <= named
