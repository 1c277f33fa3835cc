"""What a grid becomes, and mistakes in one; what cells do to the base."""

from pathlib import Path
from typing import Any

import pytest

from trl_curriculum.evaluation.compare import Comparison, Metric
from trl_curriculum.evaluation.grid import Grid, make_grid
from trl_curriculum.evaluation.simulated_grid import Sizes, find_world, refuse_unsimulated, simulated_points


BASE = {"curriculum": {"sec": {"tau": 0.3}}, "arms": "level", "max_steps": 4}


def grid(methods: Any, base: Any = BASE, seeds: Any = (0, 1)) -> Grid:
    return make_grid(methods, list(seeds) if isinstance(seeds, tuple) else seeds, base, "out")


def test_uniform_and_placebos_are_added() -> None:
    made = grid(["sec", {"name": "refilled", "rollouts": "refill"}, {"order": {"mode": "hard_to_easy"}}])
    assert [entry.name for entry in made.entries] == [
        *("uniform", "sec", "refilled", "order", "placebo-sec", "placebo-refilled", "placebo-order")
    ]
    changes = {entry.name: entry.changes for entry in made.entries}
    assert changes["uniform"] == {"curriculum": "uniform"}
    assert changes["placebo-sec"] == {"curriculum": {"placebo": {"of": "sec"}}}
    refilled = {"rollouts": "refill", "curriculum": {"placebo": {"of": {"sec": {"tau": 0.3}}}}}
    assert changes["placebo-refilled"] == refilled, "the base's own curriculum"
    assert {entry.name: entry.placebo_of for entry in made.entries if entry.placebo_of} == {
        f"placebo-{name}": name for name in ("sec", "refilled", "order")
    }
    assert [cell.name for cell in made.cells[:8:7]] == ["uniform/seed-0", "uniform/seed-1"]


def test_a_placebo_belongs_to_the_method_that_sets_nothing_else_either() -> None:
    placebo = {"placebo": {"of": "sec"}}
    refilled = {"name": "refilled", "curriculum": "sec", "rollouts": "refill"}
    found = grid([refilled, "sec", placebo, {"name": "both", "curriculum": placebo, "rollouts": "refill"}]).entries
    assert {entry.name: entry.placebo_of for entry in found if entry.placebo_of} == {
        "placebo": "sec",
        "both": "refilled",
    }


def test_a_grid_that_names_a_placebo_gets_no_other() -> None:
    made = grid(
        [
            "sec",
            "dump",
            {"placebo": {"of": "dump"}},
            {"name": "clipped", "curriculum": "uniform", "shaping": "clip_cov"},
        ]
    )
    assert [(entry.name, entry.placebo_of) for entry in made.entries] == [
        *(("uniform", None), ("sec", None), ("dump", None), ("placebo", "dump"), ("clipped", None))
    ]


def test_the_curriculum_of_a_bundle() -> None:
    made = grid([{"name": "paper", "method": "edco_code"}], {"max_steps": 4})
    placebo = made.entries[-1].changes["curriculum"]["placebo"]["of"]
    assert next(iter(placebo)) == "edco" and made.entries[-1].changes["method"] == "edco_code"


def test_what_a_cell_sets() -> None:
    base = BASE | {
        "dry_run": True,
        "overwrite_output_dir": True,
        "seed": 9,
        "output_dir": "mine",
        "save_strategy": "no",
    }
    made = grid(["dump"], base)
    cell = next(cell for cell in made.cells if cell.entry.name == "dump")
    assert made.recipe(cell) == {
        "curriculum": "dump",
        "arms": "level",
        "max_steps": 4,
        "seed": 0,
        "output_dir": str(Path("out/dump/seed-0")),
        "resume_from_checkpoint": "auto",
        "disable_tqdm": True,
        "save_strategy": "steps",
        "save_steps": 0.1,
        "save_total_limit": 1,
    }
    assert not made.keeps_checkpoints
    kept = grid(["dump"], base | {"save_strategy": "epoch", "save_total_limit": 7})
    assert kept.keeps_checkpoints
    assert {kept.recipe(cell)[name] for name in ("save_strategy", "save_total_limit")} == {"epoch", 7}
    budget = grid(["dump"], base | {"max_tokens": 100})
    assert budget.recipe(cell)["save_steps"] == 500


@pytest.mark.parametrize(
    ("methods", "base", "seeds", "words"),
    [
        (["sec", {"sec": {"tau": 0.2}}], BASE, (0,), "Two methods are called 'sec': give each a name"),
        (["sec", {"name": "placebo-sec", "curriculum": "dump"}], BASE, (0,), "Two methods are called 'placebo-sec'"),
        (["secc"], BASE, (0,), "methods[0]: Unknown curriculum 'secc' (did you mean 'sec'?)"),
        (["sec", {"dump": {"tau": -1.0}}], BASE, (0,), "methods[1]: tau=-1.0 of dump must be above 0"),
        ([{"name": "a", "curriculum": {"sec": {"taw": 1}}}], BASE, (0,), "a: Curriculum 'sec' has no option 'taw'"),
        ([{"name": "a", "method": "edco_cod"}], {"max_steps": 1}, (0,), "a: Unknown bundle 'edco_cod'"),
        ([{"curriculum": "sec", "rollouts": "refill"}], BASE, (0,), "methods[0]={'curriculum': 'sec', "),
        ([3], BASE, (0,), "methods[0]: The curriculum 3 is not a name"),
        ([{"name": "a/b", "curriculum": "sec"}], BASE, (0,), "methods[0]: name='a/b' must be a word"),
        ([{"name": "..", "curriculum": "sec"}], BASE, (0,), "methods[0]: name='..' must be a word"),
        ([{"name": 3, "curriculum": "sec"}], BASE, (0,), "methods[0]: name=3 must be a word"),
        ([{"name": "a", "seed": 3}], BASE, (0,), "a: seed is set for each cell: leave it out of the method."),
        ([{"name": "uniform", "curriculum": "sec"}], BASE, (0,), "all are compared with, has the curriculum sec"),
        (["sec"], BASE, ("a",), "seeds[0]='a' must be a whole number from 0 on"),
        (["sec"], BASE, (0, True), "seeds[1]=True must be a whole number"),
        (["sec"], BASE, (-1,), "seeds[0]=-1 must be"),
        (["sec"], BASE, (3, 3), "The seed 3 is given twice"),
        (["sec"], BASE, (), "seeds is empty"),
        (["sec"], None, (0,), "base must be a recipe: its name, its path, or the mapping that it holds."),
        (["sec"], ["sec"], (0,), "base must be a recipe"),
        (["sec"], BASE | {"data_seed": 1}, (0,), "base sets data_seed, by which all seeds would draw alike"),
        (["sec"], BASE | {"push_to_hub": True}, (0,), "every cell would push to the same place"),
        (["sec"], BASE | {"save_only_model": True}, (0,), "a cell that was stopped could not go on"),
        (["sec"], BASE | {"hub_token": "abc"}, (0,), "base: hub_token holds a secret, and cells are written down"),
        ([{"name": "a", "probe": {"x": {"url": "http://me:pw@host"}}}], BASE, (0,), "a: probe.x.url holds a secret"),
        ([{"placebo": {"of": "secc"}}], BASE, (0,), "methods[0]: of='secc' of placebo is no curriculum"),
    ],
)  # fmt: skip
def test_mistakes_are_one_sentence(methods: Any, base: Any, seeds: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError)) as error:
        grid(methods, base, seeds)
    assert words in str(error.value) and "\n" not in str(error.value)


# Simulated learners


def test_simulated_learners_in_place_of_runs() -> None:
    """On a ladder most of which is out of reach SEC is ahead of uniform and of its placebo on every seed."""
    made = grid([{"sec": {"tau": 0.2}}], {"max_steps": 150, "per_device_train_batch_size": 64}, (0, 1, 2))
    sizes = Sizes.of(made.base, "grpo")
    assert sizes == Sizes(150, 8, 8)
    points = simulated_points(made, find_world("mostly_dead"), sizes, "grpo", "generated_tokens")
    assert points["cost"].max() == 150 * 64 * 100 and points["step"].max() == 150
    found = {row.method: row for row in Comparison(made.entries, points, Metric("competence", ""), "steps").rows}
    assert found["sec"].area.baseline.wins == 3 and found["sec"].area.placebo.wins == 3
    assert found["sec"].area.baseline.low > 0 and found["uniform"].area.baseline is None
    assert found["placebo-sec"].area.placebo is None


def test_sizes_of_a_recipe() -> None:
    base = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_processes": 3, "max_steps": -1}
    assert Sizes.of(base, "sft") == Sizes(200, 24, 8)
    assert Sizes.of(base | {"num_generations": 4}, "grpo") == Sizes(200, 6, 4)
    assert Sizes.of({}, "grpo") == Sizes.of({}, "sft") == Sizes()


@pytest.mark.parametrize(
    ("methods", "by", "words"),
    [
        (["sec"], "time", "match=time: simulated learners take no time"),
        (
            [{"name": "refilled", "rollouts": "refill"}],
            "steps",
            "refilled sets rollouts, and simulated learners",
        ),
    ],
)
def test_what_simulated_learners_do_not_have(methods: Any, by: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        refuse_unsimulated(grid(methods), by)
    with pytest.raises(
        ValueError, match=r"simulate='ladr' \(did you mean 'ladder'\?\) is no world: take one of ladder"
    ):
        find_world("ladr")
