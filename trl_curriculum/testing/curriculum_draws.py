"""What every curriculum draws: rows of the pool, fairly, the same on every process."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from ..curricula import ArmCurriculum, RowCurriculum, SuccessCurriculum
from .case import through_disk
from .curricula import SUCCESS, CurriculumCase, rows
from .simulated import SimulatedHost, answer_probe, conduct, pool, run, shown


def draws_are_well_formed(case: CurriculumCase) -> None:
    curriculum = case.bind()
    ids = []
    for draw in run(curriculum, 12, SUCCESS):
        assert len(draw) == len(draw.arm) == len(draw.probability) == len(draw.id) == 8
        assert ((0 <= draw.row) & (draw.row < 60)).all()
        assert ((0 <= draw.arm) & (draw.arm < len(curriculum.arm_names))).all()
        known = ((0 < draw.probability) & (draw.probability <= 1)).all()
        if case.probabilities is not None:
            assert known == case.probabilities, "the fact `probabilities` says whether draws have them"
        assert known or np.isnan(draw.probability).all()
        ids += draw.id.tolist()
    assert ids == list(range(96))


def probabilities_sum_to_one_and_floor_holds(case: CurriculumCase) -> None:
    curriculum = case.bind()
    draws = run(curriculum, 20, SUCCESS)
    if isinstance(curriculum, ArmCurriculum):
        p = curriculum.probabilities()
        assert np.isfinite(p).all() and p.sum() == pytest.approx(1) and (p >= 0).all()
        assert (p[curriculum.arms.queues.size == 0] == 0).all()
    if isinstance(curriculum, RowCurriculum | SuccessCurriculum):
        of_rows = curriculum.probabilities()
        if of_rows is None:
            assert case.probabilities is not True
        else:
            assert np.isfinite(of_rows).all() and of_rows.sum() == pytest.approx(1) and (of_rows >= 0).all()
    if case.floor:
        assert all((draw.probability >= case.floor / 60).all() for draw in draws)


def no_row_comes_again_before_its_arm_is_used_up(case: CurriculumCase) -> None:
    if case.in_turn is None:
        pytest.skip("rows do not come in turn: `in_turn` says where they do")
    curriculum = case.bind()
    draws = run(curriculum, 40, SUCCESS)
    if case.in_turn == "pool":
        assert sorted(rows(draws)[:60]) == list(range(60))
    arm = curriculum.row_arm  # some make arms of their own
    size: dict[int, int] = {k: int(n) for k, n in enumerate(np.bincount(arm))}
    seen: dict[int, list[int]] = {k: [] for k in size}
    for row in rows(draws):
        seen[int(arm[row])].append(row)
    for k, sequence in seen.items():
        for start in range(0, len(sequence) - size[k], size[k]):
            assert len(set(sequence[start : start + size[k]])) == size[k]


def between_two_refreshes_no_row_comes_again_before_all_that_have_a_weight(case: CurriculumCase) -> None:
    curriculum = case.bind()
    if not isinstance(curriculum, RowCurriculum) or curriculum.method.replacement:
        pytest.skip("it does not weigh rows that it draws without replacement")
    rng = np.random.default_rng(0)
    since: list[int] = []
    refreshes = curriculum.refreshes
    for step in range(40):
        answer_probe(curriculum, SUCCESS, rng, step / 40)
        draw = curriculum.select(8, step / 40)
        if curriculum.refreshes != refreshes:
            refreshes, since = curriculum.refreshes, []
        since += draw.row.tolist()
        size = int((curriculum.probabilities() > 0).sum())
        for start in range(0, len(since), size):
            part = since[start : start + size]
            assert len(set(part)) == len(part)
        curriculum.observe(shown(curriculum, draw, SUCCESS, rng, step=step))


def same_seed_same_draws_on_every_rank(case: CurriculumCase) -> None:
    ranks = [case.bind(seed=7) for _ in range(2)]
    assert rows(run(ranks[0], 15, SUCCESS)) == rows(run(ranks[1], 15, SUCCESS))
    if case.seeded:
        assert rows(run(case.bind(seed=8), 15, SUCCESS)) != rows(run(case.bind(seed=7), 15, SUCCESS))


def leaves_global_random_generators_alone(case: CurriculumCase) -> None:
    def states() -> tuple[Any, ...]:
        of_numpy = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
        return random.getstate(), of_numpy["key"].tolist(), of_numpy["pos"], torch.get_rng_state().tolist()

    before = states()
    run(case.bind(), 10, SUCCESS)
    assert states() == before


def small_pools_and_batches_larger_than_the_pool(case: CurriculumCase) -> None:
    for size, n_arms in ((1, 1), (5, 1), (5, 5), (3, 2)):
        curriculum = case.bind(pool(size, n_arms))
        assert set(rows(run(curriculum, 10, np.full(size, 0.5), batch=16))) <= set(range(size))


def what_was_put_back_comes_first_and_once(case: CurriculumCase) -> None:
    curriculum = case.bind()
    run(curriculum, 3, SUCCESS)
    rng = np.random.default_rng(0)
    answer_probe(curriculum, SUCCESS, rng)
    draw = curriculum.select(8)
    curriculum.put_back(draw[5:])
    curriculum.put_back(draw[3:5])  # the later one comes first
    assert curriculum.waiting.tolist() == draw.id[3:].tolist()
    resumed = case.bind(seed=99)
    resumed.load_state_dict(through_disk(curriculum.state_dict()))
    seen = []
    for one in (curriculum, resumed):
        rng = np.random.default_rng(1)
        answer_probe(one, SUCCESS, rng)
        few = one.select(2)
        answer_probe(one, SUCCESS, rng)
        more = one.select(8)
        assert len(one.waiting) == 0
        for name, old in draw[3:].columns().items():
            assert np.concatenate([few.columns()[name], more.columns()[name]])[:5].tolist() == pytest.approx(
                old.tolist(), nan_ok=True
            )
        assert (few + more).id.tolist() == [*draw.id[3:].tolist(), *range(32, 37)]
        one.observe(shown(one, few + more, SUCCESS, rng))
        seen.append(rows([few, more, *run(one, 5, SUCCESS)]))
    assert seen[0] == seen[1]


def it_says_at_the_end_what_it_never_came_to_do(case: CurriculumCase) -> None:
    curriculum = case.bind()
    sentence = curriculum.unfinished()
    if isinstance(curriculum, RowCurriculum):
        assert sentence is not None and "before its first refresh" in sentence and sentence.endswith(".")
        assert "\n" not in sentence
    run(curriculum, 100, SUCCESS)
    assert curriculum.unfinished() is None


def only_announced_rounds_let_the_optimizer_start_afresh(case: CurriculumCase) -> None:
    curriculum, host = case.bind(), SimulatedHost(SUCCESS)
    conductor = conduct(curriculum, host)
    began = []
    for step in range(40):
        host.done = step / 40
        began += [event.number for event in host.train(conductor, 8, step).events]
    assert began == list(range(1, case.rounds + 1)), "the fact `rounds` says how many it announces"
    assert host.fresh_optimizers == (case.rounds - 1 if case.rounds and case.fresh_optimizer else 0)


DRAWS = [
    draws_are_well_formed,
    probabilities_sum_to_one_and_floor_holds,
    no_row_comes_again_before_its_arm_is_used_up,
    between_two_refreshes_no_row_comes_again_before_all_that_have_a_weight,
    same_seed_same_draws_on_every_rank,
    leaves_global_random_generators_alone,
    small_pools_and_batches_larger_than_the_pool,
    what_was_put_back_comes_first_and_once,
    it_says_at_the_end_what_it_never_came_to_do,
    only_announced_rounds_let_the_optimizer_start_afresh,
]
