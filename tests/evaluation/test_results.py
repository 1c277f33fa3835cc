"""The committed results are those of this code: some runs are made again, and the tables are those of the numbers."""

import sys
from pathlib import Path

import pandas as pd
import pytest


RESULTS = Path(__file__).parents[2] / "docs" / "results"
sys.path.append(str(RESULTS.parents[1] / "evals" / "learning"))

from simulated import METHODS, SEEDS, train  # noqa: E402
from simulated_report import write_report  # noqa: E402

from trl_curriculum.evaluation.scores import scores  # noqa: E402
from trl_curriculum.evaluation.worlds import WORLDS  # noqa: E402


FRAME = pd.read_csv(RESULTS / "simulated.csv")


@pytest.mark.parametrize(
    ("world", "trainer", "method", "seed"),
    [
        ("mostly_dead", "GRPO", "sec", 101),
        ("noisy", "GRPO", "dump, arms estimated", 104),
        ("shift", "SFT", "evo_curate", 107),
        ("duplicates", "SFT", "edco", 110),
    ],
)
def test_a_run_that_is_made_again_is_what_was_written(world: str, trainer: str, method: str, seed: int) -> None:
    spec, estimated = METHODS[trainer][method], "estimated" in method
    uniform = train(world, trainer, "uniform", seed)
    run, placebo = (train(world, trainer, one, seed, estimated) for one in (spec, {"placebo": {"of": spec}}))
    found = scores(run, uniform, placebo, WORLDS[world].shifts_at(len(run)))
    at = (FRAME["world"] == world) & (FRAME["trainer"] == trainer) & (FRAME["seed"] == seed)
    (written,) = FRAME[at & (FRAME["method"] == method)][list(found)].to_dict("records")
    assert found == pytest.approx(written, abs=0.005, nan_ok=True)  # another processor may tip a tie


def test_every_world_method_and_seed_is_there_once() -> None:
    columns = ["world", "trainer", "method", "seed"]
    expected = {
        (world, trainer, name, seed)
        for world in WORLDS
        for trainer, methods in METHODS.items()
        for one in methods
        for name in ("uniform", one, f"placebo of {one}")
        for seed in SEEDS
    }
    assert {*FRAME[columns].itertuples(index=False, name=None)} == expected and len(FRAME) == len(expected)


def test_the_tables_are_those_of_the_numbers(tmp_path: Path) -> None:
    for name in ("simulated.csv", "simulated.json"):
        (tmp_path / name).write_bytes((RESULTS / name).read_bytes())
    write_report(tmp_path)
    assert (tmp_path / "simulated.md").read_text() == (RESULTS / "simulated.md").read_text()
