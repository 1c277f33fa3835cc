"""The ladder without labels: areas at equal cost, and the committed table is that of the committed runs."""

import json
import re
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "evals" / "learning"))

from hidden_labels import AXES, SEEDS, area, gained, report  # noqa: E402
from ladder import LABELS_HIDDEN  # noqa: E402


COMMITTED = ROOT / "docs" / "results" / "hidden_labels"
RESULTS = json.loads((COMMITTED / "results.json").read_text())
HARD = ("sort11", "sort14", "sort17", "sort16", "sort18", "sort19")


def run(name: str, heights: list[float], rollouts: list[int], seed: int = 1) -> dict:
    passed = [dict.fromkeys(HARD, height) for height in heights]
    tokens = [2.0 * n for n in rollouts]
    return {"method": name, "seed": seed, "pass": passed, "rollouts": rollouts, "tokens": tokens, "disagree": 0.5}


def test_an_area_ends_where_the_cheapest_run_does() -> None:
    dear = run("hidden_refill", [0.0, 0.4, 0.8], [0, 100, 200])
    assert area(dear, "rollouts", 200) == pytest.approx(0.4)
    assert area(dear, "rollouts", 100) == pytest.approx(0.2)  # of the first half alone
    assert area(dear, "rollouts", 150) == pytest.approx((0.2 * 100 + 0.5 * 50) / 150)  # .6 at 150
    assert area(dear, "tokens", 200) == pytest.approx(0.2)


def test_more_rollouts_for_the_same_height_are_no_gain() -> None:
    runs = [
        run("hidden_uniform", [0.0, 0.2], [0, 100]),
        run("hidden_sec", [0.0, 0.6], [0, 100]),
        run("hidden_refill", [0.0, 0.4], [0, 200]),  # as high as uniform after 100
    ]
    assert gained(runs, "rollouts") == pytest.approx({"hidden_refill": 0.0})


def test_every_method_and_seed_is_there_once() -> None:
    found = [(one["method"], one["seed"]) for one in RESULTS["runs"]]
    assert sorted(found) == sorted((name, seed) for name in LABELS_HIDDEN for seed in SEEDS)


def test_the_table_is_that_of_the_runs(tmp_path: Path) -> None:
    report(tmp_path, RESULTS["runs"], RESULTS["steps"])
    assert (tmp_path / "hidden_labels.md").read_text() == (COMMITTED / "hidden_labels.md").read_text()


def test_the_numbers_of_the_pages_are_those_of_the_table() -> None:
    """Differences and intervals that README.md, results.md and choose.md give of it, with a point in place of `0.`."""
    table = (COMMITTED / "hidden_labels.md").read_text()
    known = {one.replace("0.", ".").replace("-", "−") for one in re.findall(r"[+-]\d\.\d{3}", table)}
    section = (ROOT / "docs" / "results.md").read_text().split("### Labels hidden\n")[1].split("\n#")[0]
    lines = [
        line
        for page in ("README.md", "docs/choose.md", "docs/papers.md")
        for line in (ROOT / page).read_text().splitlines()
        if "hidden_labels.md" in line
    ]
    said = re.findall(r"[+−]\.\d{3}", "\n".join([section, *lines]))
    assert len(said) > 60
    others = {"+.019", "+.114", "−.044"}  # of the ladder itself, in the same lines
    assert set(said) - known - others == set()
    for axis in AXES:
        best = max(gained(RESULTS["runs"], axis).values())
        assert f"{best:.2f}".removeprefix("0") in section
