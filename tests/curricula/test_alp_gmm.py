"""ALP-GMM by hand: progress against the nearest task before, and where the Gaussians lead."""

import sys
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import ALPGMM
from trl_curriculum.curricula.alp_gmm import ALPGMMCurriculum
from trl_curriculum.curricula.parts import gaussians
from trl_curriculum.curricula.parts.gaussians import Gaussians
from trl_curriculum.stream_pool import StreamPool


def bound(pool: Pool, **options: Any) -> ALPGMMCurriculum:
    made = ALPGMM(**options).bind(pool)
    assert isinstance(made, ALPGMMCurriculum)
    return made


def show(curriculum: ALPGMMCurriculum, draw: int, *groups: tuple[int, list[float]]) -> None:
    """A batch: rows and what their rollouts earned."""
    ids = np.repeat(np.arange(draw, draw + len(groups)), [len(reward) for _, reward in groups])
    row = np.repeat([row for row, _ in groups], [len(reward) for _, reward in groups])
    curriculum.observe(Feedback(row, ids, 0, reward=np.concatenate([reward for _, reward in groups])))


def test_progress_is_that_against_the_nearest_task_before() -> None:
    curriculum = bound(Pool(4, difficulty=[0, 10, 4, 10]), parameters="difficulty")
    assert curriculum.points.ravel().tolist() == [0, 0.4, 1] and curriculum.task.tolist() == [0, 2, 1, 2]
    show(curriculum, 0, (0, [0.0, 1.0]), (1, [1.0, 1.0]))  # the first batch: nothing before
    show(curriculum, 2, (2, [0.0, 0.25]))  # nearest is row 0 (.5): |.125 - .5|
    show(curriculum, 3, (3, [0.0, 0.0]))  # the task of row 1 (1): 1
    show(curriculum, 4, (1, [0.25, np.nan]), (0, [np.nan, np.nan]))  # that of row 3 (0), the last; not observed
    assert curriculum.gaussians.recent.tolist() == [[0, 0], [1, 0], [0.4, 0.375], [1, 1], [1, 0.25]]
    assert curriculum.metrics() == {"fits": 0, "gaussians": 0, "learning_progress": 0.325}


def test_tasks_whose_rewards_change_are_drawn() -> None:
    """Nine levels: up to 3 solved, from 7 on out of reach, and between them rewards that rise with training."""
    level = np.repeat(np.arange(1, 10), 20)
    curriculum = bound(Pool(180, arm=level - 1, arm_names=[str(k) for k in range(1, 10)]), every=120, most=3)
    drawn = []
    for step in range(75):
        draw = curriculum.select(8, step / 75)
        drawn.append(level[draw.row])
        rising = np.where(np.arange(8) % 2 == 0, step % 10 / 10, 1 - step % 10 / 10)
        reward = np.where(drawn[-1] <= 3, 1.0, np.where(drawn[-1] >= 7, 0.0, rising))
        curriculum.observe(Feedback(draw.row, draw.id, step, reward=reward))
    assert curriculum.fits == 5
    first, last = (np.isin(np.concatenate(part), [4, 5, 6]).mean() for part in (drawn[:15], drawn[-30:]))
    assert abs(first - 1 / 3) < 0.15 and last > 0.65, (first, last)


def test_a_share_of_the_draws_is_of_any_task() -> None:
    curriculum = bound(Pool(1000, difficulty=np.arange(1000)), parameters="difficulty", random=0.25)
    curriculum.gaussians.mean = np.array([[0.9, 1.0], [0.1, 0.0]])
    curriculum.gaussians.covariance = np.tile(np.diag([1e-8, 1e-8]), (2, 1, 1))
    row = curriculum.select(4000).row
    assert (abs(row - 899) < 3).mean() == pytest.approx(0.75, abs=0.03), "the other Gaussian is worth nothing"


def test_the_number_of_gaussians_is_that_of_the_smallest_aic() -> None:
    rng, made = np.random.default_rng(0), Gaussians(1, 400, 6)
    centre = np.repeat([[0.1, 0.0], [0.5, 0.8], [0.9, 0.1]], 100, axis=0)
    made.add(centre[:, :1] + 0.01 * rng.standard_normal((300, 1)), centre[:, 1] + 0.01 * rng.standard_normal(300))
    made.fit(0)
    by_place = made.mean[np.argsort(made.mean[:, 0])]
    assert len(made) >= 3 and {round(one, 1) for one in by_place[:, 0]} == {0.1, 0.5, 0.9}
    point = made.sample(rng, 900)[:, 0]
    share = [(abs(point - at) < 0.1).mean() for at in (0.1, 0.5, 0.9)]
    assert share[1] / share[2] == pytest.approx(8, rel=0.4) and share[0] < 0.03, "in proportion to .0, .8 and .1"


def test_episodes_that_are_all_alike_are_fitted_by_nothing() -> None:
    made = Gaussians(1, 50, 4)
    made.add(np.full((50, 1), 0.5), np.zeros(50))
    made.fit(0)
    assert len(made) == 0


def test_parameters_of_task_families_are_those_of_their_arms() -> None:
    names = ["2/1", "2/3", "4/3"]
    curriculum = bound(Pool(6, arm=[0, 0, 1, 1, 2, 2], arm_names=names))
    assert curriculum.points.tolist() == [[0, 0], [0, 1], [1, 1]] and curriculum.task.tolist() == [0, 0, 1, 1, 2, 2]
    rows = Dataset.from_dict({"prompt": ["a", "b"], "terms": [2, 5], "digits": [2, 2]})
    pool = Pool.from_dataset(rows, ["terms", "digits"], hash_rows=False)
    assert bound(pool).points.tolist() == [[0, 0], [1, 0]]


def test_streams_of_task_families_are_drawn_by_their_parameters() -> None:
    """Of nine families as streams the three in the middle change; rows of each come in its order."""
    pool = StreamPool([str(k) for k in range(1, 10)], 1000)
    curriculum, drawn = ALPGMM(every=120, most=3).bind(pool), []
    for step in range(60):
        draw = curriculum.select(8, step / 60)
        drawn.append((draw.arm, pool.place(draw.row)))
        reward = np.where(draw.arm < 3, 1.0, np.where(draw.arm > 5, 0.0, (np.arange(8) + step) % 2))
        curriculum.observe(Feedback(draw.row, draw.id, step, reward=reward))
    arm, place = (np.concatenate(part) for part in zip(*drawn, strict=True))
    assert np.isin(arm[-200:], [3, 4, 5]).mean() > 0.6
    for k in range(9):
        assert place[arm == k].tolist() == list(range((arm == k).sum()))


@pytest.mark.parametrize(
    ("pool", "options", "words"),
    [
        (Pool(2, [0, 1], ["easy", "2"]), {}, "the arm 'easy' is named by none: name columns of numbers"),
        (Pool(2), {}, "the arm 'all' is named by none"),
        (Pool(2, [0, 1], ["2/3", "2"]), {}, "as many numbers of each arm, and '2' has others than '2/3'"),
        (Pool(2), {"parameters": "difficulty"}, "needs a difficulty_column"),
    ],
)
def test_what_has_no_numbers_is_refused(pool: Pool, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bound(pool, **options)


def test_scikit_learn_is_asked_for_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sklearn" not in sys.modules or gaussians.find_spec("sklearn") is not None
    monkeypatch.setattr(gaussians, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"'alp_gmm' needs scikit-learn: run `pip install 'trl_curriculum\[alp_gmm\]'`"
    ):
        bound(Pool(2, [0, 1], ["1", "2"]))


def test_says_beforehand_when_it_acts() -> None:
    outlook = bound(Pool(300, difficulty=np.arange(300)), parameters="difficulty").outlook(200, 16)
    assert outlook.acts_at == 17 and outlook.events[:2] == (17, 33) and outlook.odd == ()
    assert "2 different tasks" in bound(Pool(2, [0, 1], ["1", "2"])).outlook(200, 16).odd[0]
