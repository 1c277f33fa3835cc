"""
Every curriculum is scored with simulated learners: what it gains over uniform and over its own placebo, what it
wastes, and where it loses.

Limits lie about half way between 0, or uniform's share, and the worst of the ten seeds 101 to 110 that
docs/results/simulated.csv holds; the seeds here are others.
"""

from functools import cache
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.arms import make_arms
from trl_curriculum.curricula import CURRICULA
from trl_curriculum.evaluation.scores import scores
from trl_curriculum.evaluation.simulated import simulate
from trl_curriculum.evaluation.worlds import WORLDS


STEPS, BATCH, SEEDS = 160, 16, (1, 2, 3)
METHODS: dict[str, Any] = {
    "uniform": "uniform",
    "sec": {"sec": {"tau": 0.2}},
    "sec, tau 1": "sec",
    "sec, arms estimated": {"sec": {"tau": 0.2}},
    "dump": "dump",
    "ucb1": {"ucb1": {"round_batches": 5}},
    **{name: name for name in ("greso", "mopps", "cures", "lilo", "lze")},
    "mixture, equal arms": {"mixture": {"temperature": 1000.0}},
    "order": {"order": {"total_draws": STEPS * BATCH}},
    "order, hard to easy": {"order": {"total_draws": STEPS * BATCH, "mode": "hard_to_easy"}},
    "baby_steps": "baby_steps",
    "competence": "competence",
    "adarft": "adarft",
    "e2h": "e2h",
    "rmt_tiers": "rmt_tiers",
    "gain_rl": {"gain_rl": {"width": 30.0, "step": 40.0, "subset": 64}},  # ranks of some hundred rows
    "wiki_r1": "wiki_r1",  # without words, so without neighbours
    "pudf": {"pudf": {"refresh_steps": 5}},
    "pudf, loss": {"pudf": {"refresh_steps": 5, "response": "loss", "difficulty": "probe"}},
    "self_paced": {"self_paced": {"refresh_steps": 10}},
    "loss_top_k": {"loss_top_k": {"refresh_steps": 10}},
    "data_maps": {"data_maps": {"refresh_steps": 10}},
    "cyclical": "cyclical",
    "evo_curate": {"evo_curate": {"refresh_steps": 10}},
    "evo_curate, probe": {"evo_curate": {"refresh_steps": 10, "measure": "probe"}},
    "edco": {"edco": {"rounds": 8}},
    "hive": "hive",
    "alp_gmm": {"alp_gmm": {"parameters": "difficulty", "every": 320, "most": 5}},
}
Trainer = Literal["GRPO", "SFT"]


@cache
def run(world: str, trainer: Trainer, method: str, seed: int, placebo: bool = False) -> pd.DataFrame:
    spec = {"placebo": {"of": METHODS[method]}} if placebo else METHODS[method]
    arms = make_arms("success_rate") if "estimated" in method else None
    return simulate(CURRICULA.make(spec), WORLDS[world], seed, STEPS, BATCH, trainer=trainer, estimated=arms)


def score(world: str, trainer: Trainer, method: str, seed: int, what: str) -> float:
    uniform = run(world, trainer, "uniform", seed)
    placebo = run(world, trainer, method, seed, placebo=True) if what == "over_placebo" else None
    return scores(run(world, trainer, method, seed), uniform, placebo, WORLDS[world].shifts_at(STEPS))[what]


LEAST: list[tuple[str, Trainer, str, str, float]] = [  # what a method gains at least, in mean competence
    ("ladder", "GRPO", "sec", "over_uniform", 0.03),
    ("ladder", "GRPO", "dump", "over_uniform", 0.03),
    ("ladder", "GRPO", "order", "over_placebo", 0.02),
    ("ladder", "GRPO", "greso", "over_uniform", 0.006),
    ("ladder", "GRPO", "mopps", "over_uniform", 0.03),
    ("ladder", "GRPO", "cures", "over_uniform", 0.013),
    ("ladder", "GRPO", "lze", "over_uniform", 0.03),
    ("mostly_dead", "GRPO", "sec", "over_uniform", 0.09),
    ("mostly_dead", "GRPO", "sec", "over_placebo", 0.08),
    ("mostly_dead", "GRPO", "sec, arms estimated", "over_uniform", 0.025),
    ("mostly_dead", "GRPO", "sec, arms estimated", "over_placebo", 0.025),
    ("mostly_dead", "GRPO", "dump", "over_uniform", 0.08),
    ("mostly_dead", "GRPO", "dump", "over_placebo", 0.07),
    ("mostly_dead", "GRPO", "greso", "over_uniform", 0.023),
    ("mostly_dead", "GRPO", "greso", "over_placebo", 0.023),
    ("mostly_dead", "GRPO", "mopps", "over_uniform", 0.08),
    ("mostly_dead", "GRPO", "mopps", "over_placebo", 0.08),
    ("mostly_dead", "GRPO", "cures", "over_uniform", 0.07),
    ("mostly_dead", "GRPO", "cures", "over_placebo", 0.07),
    ("mostly_dead", "GRPO", "lilo", "over_uniform", 0.027),
    ("mostly_dead", "GRPO", "lilo", "over_placebo", 0.024),
    ("mostly_dead", "GRPO", "lze", "over_uniform", 0.055),
    ("mostly_dead", "GRPO", "lze", "over_placebo", 0.055),
    ("mostly_dead", "GRPO", "hive", "over_uniform", 0.02),
    ("mostly_dead", "GRPO", "hive", "over_placebo", 0.02),
    ("mostly_dead", "GRPO", "alp_gmm", "over_uniform", 0.02),
    ("mostly_dead", "GRPO", "order", "over_uniform", 0.05),
    ("mostly_dead", "GRPO", "order", "over_placebo", 0.04),
    ("mostly_dead", "GRPO", "baby_steps", "over_uniform", 0.04),
    ("mostly_dead", "GRPO", "baby_steps", "over_placebo", 0.035),
    ("mostly_dead", "GRPO", "competence", "over_uniform", 0.025),
    ("mostly_dead", "GRPO", "competence", "over_placebo", 0.02),
    ("noisy", "GRPO", "adarft", "over_uniform", 0.028),
    ("noisy", "GRPO", "adarft", "over_placebo", 0.027),
    ("ladder", "GRPO", "e2h", "over_uniform", 0.033),
    ("plateau", "GRPO", "e2h", "over_placebo", 0.035),
    ("ladder", "GRPO", "rmt_tiers", "over_uniform", 0.024),
    ("ladder", "GRPO", "rmt_tiers", "over_placebo", 0.024),
    ("mostly_dead", "GRPO", "gain_rl", "over_uniform", 0.048),
    ("mostly_dead", "GRPO", "gain_rl", "over_placebo", 0.047),
    ("mostly_dead", "GRPO", "wiki_r1", "over_uniform", 0.034),
    ("mostly_dead", "GRPO", "wiki_r1", "over_placebo", 0.034),
    ("mostly_dead", "GRPO", "pudf", "over_uniform", 0.033),
    ("mostly_dead", "GRPO", "pudf", "over_placebo", 0.03),
    ("mostly_dead", "SFT", "pudf, loss", "over_uniform", 0.015),
    ("mostly_dead", "SFT", "self_paced", "over_uniform", 0.002),
    ("mostly_dead", "SFT", "self_paced", "over_placebo", 0.002),
    ("mostly_dead", "SFT", "data_maps", "over_uniform", 0.02),
    ("mostly_dead", "SFT", "data_maps", "over_placebo", 0.02),
    ("mostly_dead", "SFT", "cyclical", "over_uniform", 0.005),
    ("mostly_dead", "SFT", "cyclical", "over_placebo", 0.005),
    ("mostly_dead", "SFT", "evo_curate", "over_uniform", 0.006),
    ("mostly_dead", "SFT", "evo_curate", "over_placebo", 0.006),
    ("mostly_dead", "SFT", "evo_curate, probe", "over_uniform", 0.01),
    ("mostly_dead", "SFT", "evo_curate, probe", "over_placebo", 0.01),
    ("plateau", "GRPO", "ucb1", "over_uniform", 0.01),
    ("plateau", "GRPO", "order", "over_uniform", 0.02),
    ("duplicates", "GRPO", "sec", "over_uniform", 0.06),
    ("duplicates", "GRPO", "mixture, equal arms", "over_uniform", 0.025),
    ("duplicates", "GRPO", "hive", "over_uniform", 0.03),
    ("duplicates", "GRPO", "edco", "over_uniform", 0.04),
    ("duplicates", "GRPO", "edco", "over_placebo", 0.04),
    ("duplicates", "SFT", "loss_top_k", "over_uniform", 0.02),
    ("duplicates", "SFT", "loss_top_k", "over_placebo", 0.02),
    ("duplicates", "SFT", "edco", "over_uniform", 0.04),
    ("duplicates", "SFT", "edco", "over_placebo", 0.04),
    ("shift", "GRPO", "sec", "over_uniform", 0.015),
    ("shift", "GRPO", "edco", "over_placebo", 0.03),
]
LOSSES: list[tuple[str, Trainer, str, float]] = [  # how far a method falls below uniform at least, where it does
    ("mostly_dead", "GRPO", "order, hard to easy", 0.05),
    ("mostly_dead", "SFT", "loss_top_k", 0.04),
    ("plateau", "GRPO", "edco", 0.05),
    ("plateau", "GRPO", "hive", 0.05),
    ("noisy", "GRPO", "hive", 0.014),
    ("plateau", "SFT", "loss_top_k", 0.015),
    ("noisy", "GRPO", "mopps", 0.02),
    ("noisy", "GRPO", "lilo", 0.004),
    ("noisy", "SFT", "self_paced", 0.006),
    ("noisy", "SFT", "evo_curate", 0.008),
    ("duplicates", "GRPO", "baby_steps", 0.025),
    ("duplicates", "SFT", "cyclical", 0.01),
    ("mostly_dead", "GRPO", "e2h", 0.023),
    ("shift", "GRPO", "adarft", 0.013),
    ("shift", "GRPO", "rmt_tiers", 0.01),
    ("shift", "GRPO", "pudf", 0.018),
    ("ladder", "SFT", "pudf, loss", 0.042),
    ("ladder", "GRPO", "ucb1", 0.002),
    ("shift", "GRPO", "ucb1", 0.005),
    ("shift", "GRPO", "competence", 0.015),
    ("shift", "SFT", "data_maps", 0.01),
]
WASTE: list[tuple[str, Trainer, str, str, float, float]] = [  # the share of draws that is wasted: between two limits
    ("mostly_dead", "GRPO", "sec", "impossible", 0.0, 0.45),  # of uniform's 2/3, as all that follow
    ("mostly_dead", "GRPO", "sec, arms estimated", "impossible", 0.0, 0.56),
    ("mostly_dead", "GRPO", "dump", "impossible", 0.0, 0.48),
    ("mostly_dead", "GRPO", "greso", "impossible", 0.0, 0.55),
    ("mostly_dead", "GRPO", "mopps", "impossible", 0.0, 0.39),
    ("mostly_dead", "GRPO", "cures", "impossible", 0.0, 0.39),
    ("mostly_dead", "GRPO", "lilo", "impossible", 0.0, 0.565),
    ("mostly_dead", "GRPO", "lze", "impossible", 0.0, 0.565),
    ("mostly_dead", "GRPO", "hive", "impossible", 0.0, 0.6),
    ("mostly_dead", "GRPO", "alp_gmm", "impossible", 0.0, 0.54),
    ("mostly_dead", "GRPO", "baby_steps", "impossible", 0.0, 0.56),
    ("mostly_dead", "GRPO", "competence", "impossible", 0.0, 0.63),
    ("mostly_dead", "GRPO", "edco", "impossible", 0.71, 1.0),
    ("mostly_dead", "SFT", "data_maps", "impossible", 0.0, 0.45),
    ("mostly_dead", "SFT", "cyclical", "impossible", 0.0, 0.58),
    ("mostly_dead", "SFT", "evo_curate", "impossible", 0.0, 0.61),
    ("mostly_dead", "SFT", "self_paced", "impossible", 0.0, 0.655),
    ("mostly_dead", "SFT", "loss_top_k", "impossible", 0.8, 1.0),
    ("mostly_dead", "GRPO", "gain_rl", "impossible", 0.0, 0.53),
    ("mostly_dead", "GRPO", "wiki_r1", "impossible", 0.0, 0.57),
    ("mostly_dead", "GRPO", "pudf", "impossible", 0.0, 0.43),
    ("mostly_dead", "GRPO", "e2h", "impossible", 0.76, 1.0),
    ("noisy", "GRPO", "sec", "noisy", 0.4, 0.7),  # uniform: .27
    ("noisy", "GRPO", "wiki_r1", "noisy", 0.34, 0.6),
    ("noisy", "GRPO", "dump", "noisy", 0.42, 0.75),
    ("noisy", "GRPO", "mopps", "noisy", 0.51, 0.9),
    ("noisy", "GRPO", "cures", "noisy", 0.35, 0.6),
    ("noisy", "SFT", "data_maps", "noisy", 0.0, 0.19),
    ("duplicates", "GRPO", "sec", "solved", 0.0, 0.36),  # uniform: .46
    ("duplicates", "GRPO", "edco", "solved", 0.0, 0.1),
    ("duplicates", "GRPO", "mixture, equal arms", "solved", 0.0, 0.33),
    ("duplicates", "GRPO", "baby_steps", "solved", 0.57, 1.0),
    ("duplicates", "SFT", "loss_top_k", "solved", 0.0, 0.1),  # uniform: .20
    ("plateau", "GRPO", "ucb1", "locked", 0.0, 0.28),  # uniform: .39
    ("plateau", "GRPO", "edco", "locked", 0.7, 1.0),
    ("plateau", "GRPO", "hive", "locked", 0.7, 1.0),
    ("plateau", "SFT", "loss_top_k", "locked", 0.75, 1.0),
]
TIMES: list[tuple[str, Trainer, str, float]] = [  # share of the steps until it is where uniform ends
    ("ladder", "GRPO", "sec", 0.85),
    ("mostly_dead", "GRPO", "sec", 0.5),
    ("mostly_dead", "GRPO", "dump", 0.5),
    ("mostly_dead", "GRPO", "mopps", 0.5),
    ("shift", "GRPO", "sec", 0.9),  # of those after the shift
]


@pytest.mark.parametrize(("world", "trainer", "method", "over", "least"), LEAST, ids=str)
def test_it_learns_more(world: str, trainer: Trainer, method: str, over: str, least: float) -> None:
    assert min(score(world, trainer, method, seed, over) for seed in SEEDS) > least


@pytest.mark.parametrize(("world", "trainer", "method", "least"), LOSSES, ids=str)
def test_it_learns_less_where_it_is_known_to(world: str, trainer: Trainer, method: str, least: float) -> None:
    assert max(score(world, trainer, method, seed, "over_uniform") for seed in SEEDS) < -least


@pytest.mark.parametrize(("world", "trainer", "method", "what", "least", "most"), WASTE, ids=str)
def test_it_wastes(world: str, trainer: Trainer, method: str, what: str, least: float, most: float) -> None:
    assert all(least <= score(world, trainer, method, seed, what) < most for seed in SEEDS)


@pytest.mark.parametrize(("world", "trainer", "method", "most"), TIMES, ids=str)
def test_it_is_sooner_where_uniform_ends(world: str, trainer: Trainer, method: str, most: float) -> None:
    assert all(score(world, trainer, method, seed, "time") < most for seed in SEEDS)


def test_every_curriculum_is_scored() -> None:
    scored = {row[2] for table in (LEAST, LOSSES, WASTE, TIMES) for row in table} | {"uniform"}
    names = {CURRICULA.parse(METHODS[method])[0] for method in scored}
    assert names == set(CURRICULA.built_in) - {"placebo"}


def test_a_placebo_of_a_bandit_is_as_good_as_uniform() -> None:
    """Uneven in each batch, and blind: it gains nothing, and it wastes as much."""
    for seed in SEEDS:
        placebo, uniform = (
            run("mostly_dead", "GRPO", "sec", seed, placebo=True),
            run("mostly_dead", "GRPO", "uniform", seed),
        )
        assert abs(placebo["competence"].mean() - uniform["competence"].mean()) < 0.04
        assert placebo["impossible"].mean() == pytest.approx(2 / 3, abs=0.08)
        most = [frame.filter(like="share/").iloc[40:].max(axis=1).mean() for frame in (placebo, uniform)]
        assert most[0] > 1.4 * most[1]  # of a batch's draws on one arm


def test_a_soft_bandit_never_loses_an_arm() -> None:
    """Beliefs lie within sqrt((G - 1) / G) = .935 at 8 rollouts, so with tau 1 an arm of K has a known least share."""
    least = 1 / (1 + 11 * np.exp(np.sqrt(7 / 8)))
    for seed in SEEDS:
        shares = run("mostly_dead", "GRPO", "sec, tau 1", seed).filter(like="share/").mean()
        assert shares.min() > least - 5 * np.sqrt(least * (1 - least) / (STEPS * BATCH))


def test_a_floor_keeps_every_arm() -> None:
    """EVO-Curate draws a twentieth of all rows alike: at least 1/20 of an arm's share of the pool, in expectation."""
    floor = 0.05 / 12
    for seed in SEEDS:
        shares = run("mostly_dead", "SFT", "evo_curate, probe", seed).filter(like="share/").mean()
        assert shares.min() > floor - 3 * np.sqrt(floor / (STEPS * BATCH)) and shares.min() > 0


def test_a_mixture_draws_by_its_weights_and_nothing_from_an_arm_without() -> None:
    weights = {f"arm{k}": 1.0 + 2 * (k == 3) if k < 4 else 0.0 for k in range(12)}
    found = simulate(CURRICULA.make({"mixture": {"weights": weights}}), WORLDS["mostly_dead"], 0, STEPS, BATCH)
    shares = found.filter(like="share/").mean()
    assert (found["impossible"] == 0).all() and found["coverage"].iloc[-1] == pytest.approx(4 / 12)
    assert shares["share/arm3"] == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / (STEPS * BATCH)))


def test_stages_admit_the_easiest_rows_by_their_label() -> None:
    """Baby steps: a quarter more in each quarter of the training; competence: the root of the time."""
    for seed in SEEDS:
        for quarter in range(4):
            until = 40 * (quarter + 1)
            assert run("ladder", "GRPO", "baby_steps", seed)["coverage"].iloc[until - 1] == (quarter + 1) / 4
        admitted = np.sqrt(np.arange(STEPS) / 80 * (1 - 0.01**2) + 0.01**2)
        assert (run("ladder", "GRPO", "competence", seed)["coverage"] <= np.maximum(admitted, 16 / 240) + 1e-9).all()
