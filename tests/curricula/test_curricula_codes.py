"""Curricula of rows beside the public codes of their papers, on the same inputs: see docs/results/codes.md."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from codes import case
from test_successes import bound, shown

from trl_curriculum import Feedback
from trl_curriculum.curricula.lze import energy
from trl_curriculum.rollouts.allocation import shares


PAPERS = {"prior": "flat", "keep": 1.0}  # as the papers have it


def kept(visits: list[int], of: int) -> float:
    """What a row is kept with after it was so often right at each visit."""
    greso = bound("greso", 1)
    for right in visits:
        greso.observe(shown([0], [right], of=of))
    return float(greso.kept(np.array([0]))[0])


def test_greso_kept() -> None:
    given, theirs = case("greso_kept")
    assert [kept(visits, 8) for visits in given["right of 8 at each visit"]] == pytest.approx(theirs["kept"])


def test_greso_of_16() -> None:
    given, theirs = case("greso_of_16")
    assert [kept(visits, 16) for visits in given["right of 16 at each visit"]] == [1, 1, 1]
    assert theirs["kept"] == pytest.approx([0.5, 0.25, 0.25])


def test_greso_target() -> None:
    given, theirs = case("greso_target")
    begin, target = given["begin"], given["target"]
    greso = bound({"greso": {"easy": begin, "hard": begin, "target": target}}, 10)
    found = []
    for easy, hard in given["easy and hard share"]:
        greso.select(10)
        right = [4] * round(10 * easy) + [0] * round(10 * hard)
        greso.observe(shown(range(10), right + [2] * (10 - len(right))))
        found.append([greso.easy, greso.hard])
    assert np.array(found) == pytest.approx(np.array(theirs["easy and hard q"]))


def test_greso_hard() -> None:
    given, theirs = case("greso_hard")
    reward = np.concatenate(given["rewards"])
    row = np.repeat(np.arange(4), 8)
    greso = bound("greso")
    greso.observe(Feedback(row, row, 0, reward))
    equal, right = greso.streak > 0, greso.right > 0
    assert (equal & right).mean() == theirs["easy share"] == 0.25
    assert (equal & ~right).mean() == 0.5 and theirs["hard share"] == 0.25


def best(share: float, size: int, *seen: Feedback) -> list[int]:
    """The best rows once these were seen."""
    lilo = bound({"lilo": {"share": 1.0, "best": share, "every": 1, **PAPERS}}, size)
    for one in seen:
        lilo.observe(one)
    lilo.select(1)
    return np.flatnonzero(lilo.is_best).tolist()


def test_lilo() -> None:
    given, theirs = case("lilo")
    right = given["right of 8"]
    assert best(given["best"], len(right), shown(range(len(right)), right, of=8)) == sorted(theirs["chosen"])


def test_lilo_part() -> None:
    given, theirs = case("lilo_part")
    right = given["right of 8"]
    ours = best(given["best"], len(right), shown(range(len(right)), right, of=8))
    assert len(ours) == 3 and len(theirs["chosen"]) == 2 and set(theirs["chosen"]) < set(ours)


def test_lilo_unequal() -> None:
    given, theirs = case("lilo_unequal")
    groups = [
        shown([k], [right], of=of) for k, (right, of) in enumerate(zip(given["right"], given["of"], strict=True))
    ]
    assert best(given["best"], 2, *groups) == [1] and theirs["chosen"] == [0]  # 24/110 > 4/20, and 1/4 > 15/64


def test_cures() -> None:
    given, theirs = case("cures")
    right = given["right of 8"]
    cures = bound({"cures": {"tau": 0.1 * np.sqrt(10 / 11), **PAPERS}}, len(right))
    cures.observe(shown(range(len(right)), right, of=8))
    a, b = cures.belief.beta(np.arange(len(right)))
    assert a / (a + b) == pytest.approx(theirs["difficulty"])
    assert cures.probabilities() == pytest.approx(theirs["at tau .1"], rel=1e-6)
    assert max(theirs["as it is"]) / min(theirs["as it is"]) < 1.005


def test_cures_allocation() -> None:
    given, theirs = case("cures_allocation")
    rate, n = np.array(given["right of 8"]) / 8, given["rollouts"]
    ours = shares(rate, n, 1, "cures")
    assert ours.sum() == n and sum(theirs["equal norms"]) == n + 2
    assert np.abs(ours - theirs["equal norms"]).max() <= 1
    assert theirs["with a solved and a hopeless row"][-2:] == [0, 0]
    assert shares((1 + 8 * np.r_[rate, 0, 1]) / 10, n, 1, "cures")[-2:].min() >= 1


def test_mopps() -> None:
    given, theirs = case("mopps")
    for retain, betas in zip(given["retain"], theirs["beta"], strict=True):
        mopps = bound({"mopps": {"retain": retain, **PAPERS}}, given["rows"])
        for (rows, right), beta in zip(given["rows and right of 8"], betas, strict=True):
            mopps.observe(shown(rows, right, of=8))
            assert np.stack(mopps.belief.beta(np.arange(given["rows"])), 1) == pytest.approx(np.array(beta))


def test_mopps_one_rollout() -> None:
    given, theirs = case("mopps_one_rollout")
    ((rows, right),) = given["rows and right of 1"]
    mopps = bound({"mopps": {"retain": given["retain"], **PAPERS}}, 3)
    mopps.observe(shown(rows, right, of=1))
    assert np.stack(mopps.belief.beta(np.arange(3)), 1).tolist() == [[2, 1], [1, 2], [1, 1]]
    assert theirs["beta"] == [[[8, 8], [8, 8], [1, 1]]]


def test_mopps_chosen() -> None:
    given, theirs = case("mopps_chosen")
    drawn = np.array(given["drawn"])
    for target, chosen in zip(given["target"], theirs["chosen"], strict=True):
        mopps = bound({"mopps": {"target": target, **PAPERS}}, len(drawn))
        mopps.rng = SimpleNamespace(beta=lambda a, b: drawn)
        assert sorted(mopps._choose(np.arange(len(drawn)), given["n"])) == chosen


def visited() -> Any:
    """LZE after each visit, as the code saw them."""
    given, _ = case("lze")
    lze = bound({"lze": PAPERS}, len(given["of"]))
    for right in zip(*given["right at each visit"], strict=True):
        for row, (k, of) in enumerate(zip(right, given["of"], strict=True)):
            lze.observe(shown([row], [k], of=of))
        yield np.array(right) / given["of"], lze


def test_lze() -> None:
    for (p, lze), theirs in zip(visited(), case("lze")[1]["visits"], strict=True):
        found = energy(p * (1 - p), lze.first, lze.moved, 0.3, 0.05)
        assert found == pytest.approx(theirs["energy"], rel=1e-6)
        for ours, name in ((lze.average, "average"), (lze.moved, "moved"), (np.maximum(1 - lze.first, 0.05), "began")):
            assert ours == pytest.approx(theirs[name], rel=1e-6, abs=1e-7)
    believed = lze.energy(np.arange(4))
    assert (believed > 0).all() and theirs["energy"][0] == theirs["energy"][2] == 0


def test_lze_pruned() -> None:
    pruned = [np.flatnonzero(lze.solved >= 2).tolist() for _, lze in visited()]
    assert pruned == case("lze_pruned")[1]["pruned"]


def chosen(given: dict[str, Any], scale: float | None = None) -> list[int]:
    value, noise = np.array(given["energy"]), np.array(given["gumbel"])
    lze = bound({"lze": {"noise": 0.05, **PAPERS}}, len(value))

    def gumbel(scale: float, size: int) -> Any:
        scales.append(scale)
        return noise * scale

    scales: list[float] = []
    lze.energy = lambda row: value[row]
    lze.rng = SimpleNamespace(gumbel=gumbel, random=np.ones)
    found = sorted(lze._choose(np.arange(len(value)), int(given["share"] * len(value))).tolist())
    assert scale is None or scales == pytest.approx([scale])
    return found


def test_lze_chosen() -> None:
    given, theirs = case("lze_chosen")
    assert chosen(given, theirs["scale"]) == theirs["chosen"]


def test_lze_chosen_few() -> None:
    given, theirs = case("lze_chosen_few")
    ours = chosen(given)
    assert len(ours) == 2 and theirs["chosen"] == [0] and 0 in ours
