"""What every curriculum must do, built in or plugged in."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import VARIANTS, make, pool
from simulate import feedback, run

from trl_curriculum import Feedback, Pool
from trl_curriculum.curricula import ArmCurriculum, Curriculum
from trl_curriculum.state import StateError, read_state, write_state


SUCCESS = np.linspace(0, 1, 60)


def rows(draws: list) -> list[int]:
    return np.concatenate([draw.row for draw in draws]).tolist()


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryCurriculum:
    def test_draws_are_well_formed(self, variant: str) -> None:
        curriculum = make(variant)
        ids = []
        for draw in run(curriculum, 12, SUCCESS):
            assert len(draw) == len(draw.arm) == len(draw.probability) == len(draw.id) == 8
            assert ((0 <= draw.row) & (draw.row < 60)).all()
            assert ((0 <= draw.arm) & (draw.arm < len(curriculum.arm_names))).all()
            if curriculum.probabilistic:
                assert ((0 < draw.probability) & (draw.probability <= 1)).all()
            else:
                assert np.isnan(draw.probability).all()
            ids += draw.id.tolist()
        assert ids == list(range(96))

    def test_probabilities_sum_to_one_and_floor_holds(self, variant: str) -> None:
        curriculum = make(variant)
        draws = run(curriculum, 20, SUCCESS)
        if isinstance(curriculum, ArmCurriculum):
            p = curriculum.probabilities()
            assert np.isfinite(p).all() and p.sum() == pytest.approx(1) and (p >= 0).all()
            assert (p[curriculum.queues.size == 0] == 0).all()
        if curriculum.has_floor:
            assert all((draw.probability >= 0.05 / 60).all() for draw in draws)

    def test_no_row_comes_again_before_its_arm_is_used_up(self, variant: str) -> None:
        curriculum = make(variant)
        draws = run(curriculum, 40, SUCCESS)
        if curriculum.replaces:
            return
        if variant in ("uniform", "order-easy_to_hard", "order-hard_to_easy", "order-blocked"):
            assert sorted(rows(draws)[:60]) == list(range(60))
        size = {k: int(n) for k, n in enumerate(curriculum.pool.arm_size)}
        seen: dict[int, list[int]] = {k: [] for k in size}
        for row in rows(draws):
            seen[int(curriculum.pool.arm[row])].append(row)
        for k, sequence in seen.items():
            for start in range(0, len(sequence) - size[k], size[k]):
                assert len(set(sequence[start : start + size[k]])) == size[k]

    def test_same_seed_same_draws_on_every_rank(self, variant: str) -> None:
        ranks = [make(variant, seed=7) for _ in range(2)]
        assert rows(run(ranks[0], 15, SUCCESS)) == rows(run(ranks[1], 15, SUCCESS))
        assert rows(run(make(variant, seed=8), 15, SUCCESS)) != rows(run(make(variant, seed=7), 15, SUCCESS))

    def test_leaves_global_random_generators_alone(self, variant: str) -> None:
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        run(make(variant), 10, SUCCESS)
        after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        assert before == after

    def test_continues_from_a_saved_state(self, variant: str, tmp_path: Path) -> None:
        first = make(variant)
        run(first, 7, SUCCESS)
        write_state(tmp_path / "state", first.state_dict())
        second = make(variant, seed=99)
        assert second.load_state_dict(read_state(tmp_path / "state")) is None
        assert rows(run(second, 10, SUCCESS, seed=3)) == rows(run(first, 10, SUCCESS, seed=3))
        assert second.metrics() == first.metrics()

    def test_a_state_does_not_change_after_it_was_taken(self, variant: str, tmp_path: Path) -> None:
        curriculum = make(variant)
        run(curriculum, 3, SUCCESS)
        state = curriculum.state_dict()
        write_state(tmp_path / "before", state)
        expected = rows(run(curriculum, 10, SUCCESS, seed=5))
        write_state(tmp_path / "after", state)
        again = make(variant)
        again.load_state_dict(read_state(tmp_path / "after"))
        assert rows(run(again, 10, SUCCESS, seed=5)) == expected

    @pytest.mark.parametrize("reward", [np.nan, 0.0, 1.0, None])
    def test_survives_missing_and_constant_rewards(self, variant: str, reward: float | None) -> None:
        curriculum = make(variant)
        rng = np.random.default_rng(0)
        for step in range(10):
            draw = curriculum.select(8)
            shown = feedback(draw, SUCCESS, rng, step=step, reward=reward)
            if reward is None and shown.reward is not None and shown.advantage is not None:  # some of a group missing
                shown.reward[::3] = shown.advantage[::3] = np.nan
            curriculum.observe(shown)
        if isinstance(curriculum, ArmCurriculum):
            assert np.isfinite(curriculum.belief().mean).all()
        assert all(np.isfinite(value) for value in curriculum.metrics().values())

    @pytest.mark.parametrize(("size", "n_arms"), [(1, 1), (5, 1), (5, 5), (3, 2)])
    def test_small_pools_and_batches_larger_than_the_pool(self, variant: str, size: int, n_arms: int) -> None:
        curriculum = make(variant, pool(size, n_arms))
        assert set(rows(run(curriculum, 10, np.full(size, 0.5), batch=16))) <= set(range(size))

    def test_refuses_a_state_of_something_else(self, variant: str) -> None:
        state = make(variant).state_dict()
        curriculum = make(variant)
        for change, words in (
            ({"method": "other"}, "curriculum 'other'"),
            ({"version": 99}, "version 99"),
        ):
            with pytest.raises(StateError, match=words):
                curriculum.load_state_dict(state | change)
        broken = dict(state)
        del broken["rng"]
        with pytest.raises(StateError, match="no entry 'rng'"):
            curriculum.load_state_dict(broken)
        for name, value in curriculum.options().items():
            changed = state | {"options": state["options"] | {name: "something else"}}
            with pytest.raises(StateError, match=f"{name}='something else'.*{name}={value!r}"):
                curriculum.load_state_dict(changed)

    def test_changed_pool_is_refused_or_carried_over(self, variant: str) -> None:
        old = make(variant)
        run(old, 6, SUCCESS)
        drawn = old.drawn
        same = old.pool
        keep = np.arange(10, 60)  # ten rows lost, twenty new
        fresh = np.random.default_rng(1).integers(0, 2**63, 20, dtype=np.uint64)
        assert same.row_hash is not None
        bigger = Pool(
            70,
            np.concatenate([same.arm[keep], np.arange(20) % 5]) if same.n_arms > 1 else None,
            same.arm_names if same.n_arms > 1 else None,
            np.concatenate([same.difficulty[keep], np.arange(20) % 5]),  # type: ignore[index]
            np.concatenate([same.row_hash[keep], fresh]),
        )
        curriculum: Curriculum = make(variant, bigger)
        with pytest.raises(StateError, match="50 rows kept, 20 new, 10 lost"):
            curriculum.load_state_dict(old.state_dict())
        carried = curriculum.load_state_dict(old.state_dict(), carry_over=True)
        assert carried is not None and carried.summary() == "50 rows kept, 20 new, 10 lost"
        assert curriculum.drawn == drawn
        reached = set(rows(run(curriculum, 60, np.full(70, 0.5))))
        assert reached <= set(range(70)) and reached & set(range(50, 70))

    def test_empty_feedback_teaches_nothing(self, variant: str) -> None:
        curriculum = make(variant)
        nothing = np.empty(0)
        before = curriculum.metrics()
        curriculum.observe(Feedback(np.empty(0, int), np.empty(0, int), 0, nothing, nothing, np.empty(0, int)))
        if VARIANTS[variant][1].get("unsampled") != "decay":
            assert curriculum.metrics() == before
