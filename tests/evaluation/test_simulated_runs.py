"""Runs of simulated learners: what they report is what was drawn and learned."""

import random

import numpy as np
import pandas as pd
import pytest

from trl_curriculum.curricula import CURRICULA
from trl_curriculum.evaluation.scores import WASTE, median, scores, steps_to
from trl_curriculum.evaluation.simulated import PREFIX, simulate
from trl_curriculum.evaluation.worlds import WORLDS, World


def run(spec: object, world: World | str, steps: int = 30, batch: int = 16, **settings: object) -> pd.DataFrame:
    over = WORLDS[world] if isinstance(world, str) else world
    return simulate(CURRICULA.make(spec), over, settings.pop("seed", 0), steps, batch, **settings)  # type: ignore[arg-type]


def test_uniform_covers_the_pool_as_drawing_without_replacement_does() -> None:
    found = run("uniform", "ladder", steps=20)  # 240 rows in 15 steps
    assert found["coverage"].tolist() == pytest.approx(np.minimum(16 * np.arange(1, 21) / 240, 1))


def test_a_bandit_that_draws_with_replacement_covers_as_that_does() -> None:
    """DUMP before it has seen anything: a row of N is missed by n draws with probability (1 - 1/N)^n."""
    world, runs = World(arms=1, rows=200), 40
    seen = [run("dump", world, steps=1, batch=200, seed=seed)["coverage"].iloc[0] for seed in range(runs)]
    assert np.mean(seen) == pytest.approx(1 - (1 - 1 / 200) ** 200, abs=5 * 0.022 / np.sqrt(runs))


def test_over_a_whole_pass_uniform_wastes_what_there_is_to_waste() -> None:
    dead = run("uniform", "mostly_dead", steps=30)  # 480 rows, 8 of 12 arms impossible
    assert dead["impossible"].mean() == pytest.approx(8 / 12)
    assert [dead[f"share/arm{k}"].mean() for k in range(12)] == pytest.approx([1 / 12] * 12)
    noisy = run(
        "uniform", "noisy", steps=35, batch=8
    )  # 280 rows: 6 arms with 4 wrong golds and 2 coins each, 40 coins
    assert noisy["noisy"].mean() == pytest.approx((6 * 6 + 40) / 280)
    never = run("uniform", WORLDS["noisy"].but(wrong_gold_pays=0.0), steps=35, batch=8)
    assert never["impossible"].mean() == pytest.approx(24 / 280) and never["noisy"].mean() == pytest.approx(52 / 280)


def test_groups_without_variance_come_as_often_as_success_rates_say() -> None:
    """p^G + (1 - p)^G, here of one difficulty and a learner that hardly learns."""
    world = World(arms=1, rows=50, easiest=-1.0, spread=0.0, rate=1e-9)
    found = run("uniform", world, steps=200, generations=4)
    p, n = 1 / (1 + np.exp(-1)), 200 * 16
    expected = p**4 + (1 - p) ** 4
    assert found["zero_variance"].mean() == pytest.approx(expected, abs=5 * np.sqrt(expected * (1 - expected) / n))
    assert found["competence"].to_numpy() == pytest.approx(p, abs=1e-6)


def test_tokens_are_counted() -> None:
    grpo, sft = (run("uniform", "ladder", steps=3, trainer=trainer) for trainer in ("GRPO", "SFT"))
    assert grpo["trained_tokens"].tolist() == grpo["generated_tokens"].tolist() == [12800, 25600, 38400]
    assert sft["trained_tokens"].tolist() == [1600, 3200, 4800] and (sft["generated_tokens"] == 0).all()
    assert grpo["zero_variance"].notna().all() and sft["zero_variance"].isna().all()
    edco = run({"edco": {"rounds": 2}}, "ladder", steps=4)
    assert edco["probed_tokens"].tolist() == [240 * PREFIX] * 2 + [480 * PREFIX] * 2
    probe = run({"order": {"difficulty": "probe"}}, "ladder", steps=2)
    assert probe["probed_tokens"].tolist() == [24000, 24000] and probe["zero_variance"].isna().all()


def test_one_seed_is_one_run_and_nobody_elses_random_numbers_are_touched() -> None:
    before = random.getstate(), np.random.get_state(legacy=False)["state"]["pos"]  # noqa: NPY002
    one, same, other = (run("sec", "ladder", steps=8, seed=seed) for seed in (3, 3, 4))
    assert one.equals(same) and not one.equals(other)
    assert before == (random.getstate(), np.random.get_state(legacy=False)["state"]["pos"])  # noqa: NPY002


def test_copies_are_one_prompt_to_edco() -> None:
    """Of 440 rows 240 are distinct: a round of all of them draws each once."""
    found = run({"edco": {"rounds": 1, "share": 1.0}}, "duplicates", steps=40, batch=8)
    assert found["coverage"].iloc[-1] == pytest.approx(240 / 440)


def test_the_rows_change_at_the_shift() -> None:
    found = run("uniform", "shift", steps=20)["competence"].diff()
    assert found.idxmin() == 10 and found.min() < -0.1 and (found.drop([0, 10]) > 0).all()


def test_scores_of_a_run() -> None:
    def frame(competence: list[float], **waste: float) -> pd.DataFrame:
        columns = dict.fromkeys((*WASTE, "coverage", "zero_variance"), 0.0) | waste
        return pd.DataFrame({"step": np.arange(4), "competence": competence, **columns})

    uniform, placebo = frame([0.1, 0.2, 0.3, 0.4]), frame([0.0, 0.1, 0.1, 0.2])
    found = scores(frame([0.2, 0.4, 0.6, 0.8], noisy=0.25), uniform, placebo)
    assert found["area"] == 0.5 and found["over_uniform"] == 0.25 and found["over_placebo"] == pytest.approx(0.4)
    assert found["time"] == 0.5 and found["gain"] == pytest.approx(0.6) and found["noisy"] == 0.25
    assert scores(uniform, frame([0.5] * 4))["time"] == np.inf and np.isnan(scores(uniform, uniform)["over_placebo"])
    assert scores(uniform, frame([0.2] * 4), since=2)["time"] == 0.5  # one step of two after the shift
    assert steps_to(uniform, 0.25) == 3


def test_the_interval_of_a_median_holds_it_as_often_as_it_says() -> None:
    assert median(range(1, 13)) == (6.5, 3, 10)  # P(B < 3) = 79 / 4096: .961
    assert median([3, 1, np.inf, 2, np.inf, np.inf, np.inf]) == (np.inf, 1, np.inf)
    with pytest.raises(ValueError, match="5 values have no interval that holds their median with 95%: give more"):
        median(range(5))
    rng = np.random.default_rng(0)
    held = [low <= 0 <= high for _, low, high in (median(rng.exponential(size=12) - np.log(2)) for _ in range(2000))]
    exact = 1 - 2 * 79 / 4096
    assert np.mean(held) == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 2000))


def test_what_makes_no_training_is_refused() -> None:
    with pytest.raises(ValueError, match="generations=1 and seed=0 make no training"):
        run("uniform", "ladder", generations=1)
    with pytest.raises(ValueError, match="'sec' follows the advantage, and this learner shows losses alone"):
        run("sec", "ladder", trainer="SFT")
    with pytest.raises(ValueError, match="'loss_top_k' follows the loss, and this learner shows rewards alone"):
        run("loss_top_k", "ladder", trainer="GRPO")
