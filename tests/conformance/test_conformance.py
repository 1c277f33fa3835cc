"""What every curriculum must do, built in or plugged in."""

import dataclasses
import json
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import IN_TURN, VARIANTS, WITH_A_FLOOR, WITHOUT_PROBABILITIES, make, method, pool
from simulate import SimulatedHost, answer_probe, conduct, follows_loss, from_losses, losses, run, shown

from trl_curriculum import CURRICULA, Feedback, Pool
from trl_curriculum.curricula import ArmCurriculum, Curriculum, RowCurriculum
from trl_curriculum.disk.state import StateError, read_state, write_state


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
            known = ((0 < draw.probability) & (draw.probability <= 1)).all()
            if curriculum.name in CURRICULA.built_in:
                assert known != (curriculum.name in WITHOUT_PROBABILITIES)
            assert known or np.isnan(draw.probability).all()
            ids += draw.id.tolist()
        assert ids == list(range(96))

    def test_probabilities_sum_to_one_and_floor_holds(self, variant: str) -> None:
        curriculum = make(variant)
        draws = run(curriculum, 20, SUCCESS)
        if isinstance(curriculum, ArmCurriculum):
            p = curriculum.probabilities()
            assert np.isfinite(p).all() and p.sum() == pytest.approx(1) and (p >= 0).all()
            assert (p[curriculum.arms.queues.size == 0] == 0).all()
        if isinstance(curriculum, RowCurriculum):
            p = curriculum.probabilities()
            assert np.isfinite(p).all() and p.sum() == pytest.approx(1) and (p >= 0).all()
        if curriculum.name in WITH_A_FLOOR:
            assert all((draw.probability >= 0.05 / 60).all() for draw in draws)

    def test_no_row_comes_again_before_its_arm_is_used_up(self, variant: str) -> None:
        if variant not in IN_TURN:
            return
        curriculum = make(variant)
        draws = run(curriculum, 40, SUCCESS)
        if variant in ("uniform", "order-easy_to_hard", "order-hard_to_easy", "order-blocked"):
            assert sorted(rows(draws)[:60]) == list(range(60))
        arm = getattr(curriculum, "level", curriculum.pool.arm)  # some make arms of their own
        size = {k: int(n) for k, n in enumerate(np.bincount(arm))}
        seen: dict[int, list[int]] = {k: [] for k in size}
        for row in rows(draws):
            seen[int(arm[row])].append(row)
        for k, sequence in seen.items():
            for start in range(0, len(sequence) - size[k], size[k]):
                assert len(set(sequence[start : start + size[k]])) == size[k]

    def test_between_two_refreshes_no_row_comes_again_before_all_that_have_a_weight(self, variant: str) -> None:
        curriculum = make(variant)
        if not isinstance(curriculum, RowCurriculum) or curriculum.method.replacement:
            return
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

    def test_same_seed_same_draws_on_every_rank(self, variant: str) -> None:
        ranks = [make(variant, seed=7) for _ in range(2)]
        assert rows(run(ranks[0], 15, SUCCESS)) == rows(run(ranks[1], 15, SUCCESS))
        if not variant.startswith("order-probe"):  # losses have no ties, so their order leaves nothing to chance
            assert rows(run(make(variant, seed=8), 15, SUCCESS)) != rows(run(make(variant, seed=7), 15, SUCCESS))

    def test_leaves_global_random_generators_alone(self, variant: str) -> None:
        before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        run(make(variant), 10, SUCCESS)
        after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002
        assert before == after

    def test_continues_from_a_saved_state(self, variant: str, tmp_path: Path) -> None:
        first = make(variant)
        run(first, 7, SUCCESS, end=0.4)
        write_state(tmp_path / "state", first.state_dict())
        second = make(variant, seed=99)
        assert second.load_state_dict(read_state(tmp_path / "state")) is None
        resumed, expected = (rows(run(one, 10, SUCCESS, seed=3, begin=0.4)) for one in (second, first))
        assert resumed == expected
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

    @pytest.mark.parametrize("constant", [np.nan, 0.0, 1.0, None])
    def test_survives_missing_and_constant_rewards_and_losses(self, variant: str, constant: float | None) -> None:
        curriculum = make(variant)
        rng = np.random.default_rng(0)
        for step in range(20):
            while (asked := curriculum.rows_to_probe(step / 20)) is not None:
                loss = losses(asked, SUCCESS, rng) if constant is None else np.full(len(asked), constant)
                loss[:: 3 if constant is None else len(loss)] = np.nan
                curriculum.observe_probe(asked, loss)
            draw = curriculum.select(8, step / 20)
            assert len(draw) == 8
            seen = shown(curriculum, draw, SUCCESS, rng, step=step, constant=constant)
            if constant is None:  # some of a group missing
                for signal in (seen.reward, seen.advantage, seen.loss):
                    if signal is not None:
                        signal[::3] = np.nan
            curriculum.observe(seen)
        if isinstance(curriculum, RowCurriculum):
            assert np.isfinite(curriculum.probabilities()).all()
            if np.isnan(constant or 0.0):  # nothing was learnt
                assert curriculum.probabilities() == pytest.approx(np.full(60, 1 / 60))
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
        for name, value in curriculum.method.options.items():
            changed = state | {"options": state["options"] | {name: "something else"}}
            with pytest.raises(StateError, match=f"{name}='something else'.*{re.escape(f'{name}={value!r}')}"):
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
            same.estimated,
        )
        curriculum: Curriculum = make(variant, bigger)
        with pytest.raises(StateError, match="50 rows kept, 20 new, 10 lost"):
            curriculum.load_state_dict(old.state_dict())
        mapping = curriculum.load_state_dict(old.state_dict(), carry_over=True)
        assert mapping is not None and mapping.summary() == "50 rows kept, 20 new, 10 lost"
        assert curriculum.drawn == drawn
        reached = set(rows(run(curriculum, 60, np.full(70, 0.5))))
        assert reached <= set(range(70)) and reached & set(range(50, 70))

    def test_empty_feedback_teaches_nothing(self, variant: str) -> None:
        curriculum = make(variant)
        nothing = np.empty(0)
        before = curriculum.metrics()
        none = np.empty(0, int)
        if follows_loss(curriculum):
            curriculum.observe(Feedback(none, none, 0, length=none, loss=nothing, entropy=nothing))
        else:
            curriculum.observe(Feedback(none, none, 0, nothing, nothing, none, rewards={"accuracy": nothing}))
        if curriculum.method.options.get("unsampled") != "decay":
            assert curriculum.metrics() == before

    def test_what_was_put_back_comes_first_and_once(self, variant: str, tmp_path: Path) -> None:
        curriculum = make(variant)
        run(curriculum, 3, SUCCESS)
        rng = np.random.default_rng(0)
        answer_probe(curriculum, SUCCESS, rng)
        draw = curriculum.select(8)
        curriculum.put_back(draw[5:])
        curriculum.put_back(draw[3:5])  # the later one comes first
        assert curriculum.waiting.tolist() == draw.id[3:].tolist()
        write_state(tmp_path / "state", curriculum.state_dict())
        resumed = make(variant, seed=99)
        resumed.load_state_dict(read_state(tmp_path / "state"))
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

    def test_a_probe_asks_the_same_until_it_is_answered(self, variant: str, tmp_path: Path) -> None:
        curriculum = make(variant)
        rng = np.random.default_rng(0)
        asked_at = []
        for step in range(10):
            while (asked := curriculum.rows_to_probe(step / 10)) is not None:
                asked_at.append(step)
                assert len(set(asked.tolist())) == len(asked) > 0 and ((0 <= asked) & (asked < 60)).all()
                write_state(tmp_path / str(step), curriculum.state_dict())
                resumed = make(variant, seed=99)
                resumed.load_state_dict(read_state(tmp_path / str(step)))
                for one in (curriculum, resumed):
                    again = one.rows_to_probe(step / 10)
                    assert again is not None and again.tolist() == asked.tolist()
                curriculum.observe_probe(asked, losses(asked, SUCCESS, rng))
                after = curriculum.rows_to_probe(step / 10)
                assert after is None or not set(after) & set(asked), "what was answered is asked again"
            curriculum.observe(shown(curriculum, curriculum.select(8, step / 10), SUCCESS, rng, step=step))
        assert len(asked_at) <= 40, "it does not stop asking"
        assert (curriculum.method.probe is None) == (asked_at == []), "`probe` says whether it asks"
        assert asked_at[:1] in ([], [0])

    def test_a_probe_without_any_loss_is_answered_too(self, variant: str) -> None:
        curriculum = make(variant)
        if curriculum.method.probe is None:
            return
        drawn = []
        for step in range(20):
            while (asked := curriculum.rows_to_probe(step / 20)) is not None:
                curriculum.observe_probe(asked, np.full(len(asked), np.nan))
            drawn.append(curriculum.select(8, step / 20))
        assert set(rows(drawn)) <= set(range(60))
        assert all(np.isfinite(value) for value in curriculum.metrics().values())

    def test_whoever_follows_nothing_takes_any_feedback(self, variant: str) -> None:
        curriculum, rng = make(variant), np.random.default_rng(0)
        if curriculum.method.follows:
            return
        for step in range(5):
            answer_probe(curriculum, SUCCESS, rng, step / 5)
            draw = curriculum.select(8, step / 5)
            curriculum.observe(from_losses(draw, losses(draw.row, SUCCESS, rng), step))

    def test_a_late_signal_that_it_does_not_want_changes_nothing(self, variant: str, tmp_path: Path) -> None:
        plain, late = make(variant), make(variant)
        if plain.method.wants:
            return
        rng = [np.random.default_rng(0) for _ in range(2)]
        drawn: list[list] = [[], []]
        for step in range(12):
            for k, one in enumerate((plain, late)):
                answer_probe(one, SUCCESS, rng[k], step / 12)
                drawn[k].append(one.select(8, step / 12))
                seen = shown(one, drawn[k][-1], SUCCESS, rng[k], step=step)
                one.observe(seen)
                if one is late:
                    value = np.linspace(0, 9, len(seen))
                    one.observe_late(seen.row, seen.draw, prefix_entropy=value, something_else=value)
        assert rows(drawn[0]) == rows(drawn[1])
        write_state(tmp_path / "plain", plain.state_dict())
        write_state(tmp_path / "late", late.state_dict())
        for file in ("state.json", "arrays.npz"):
            assert (tmp_path / "plain" / file).read_bytes() == (tmp_path / "late" / file).read_bytes()

    def test_a_method_is_a_value(self, variant: str) -> None:
        one, other = method(variant), method(variant)
        assert one == other and one is not other
        assert CURRICULA.make(one.spec) == one == CURRICULA.make(one)
        assert CURRICULA.make(json.dumps(one.spec) if isinstance(one.spec, dict) else one.spec) == one
        with pytest.raises(dataclasses.FrozenInstanceError):
            one.anything = 1  # type: ignore[attr-defined]
        assert set(make(variant).state_dict()["options"]) == set(one.options)

    def test_it_says_at_the_end_what_it_never_came_to_do(self, variant: str) -> None:
        curriculum = make(variant)
        sentence = curriculum.unfinished()
        if isinstance(curriculum, RowCurriculum):
            assert sentence is not None and "before its first refresh" in sentence and sentence.endswith(".")
            assert "\n" not in sentence
        run(curriculum, 100, SUCCESS)
        assert curriculum.unfinished() is None

    def test_only_edco_lets_the_optimizer_start_afresh(self, variant: str) -> None:
        curriculum, host = make(variant), SimulatedHost(SUCCESS)
        conductor = conduct(curriculum, host)
        began = []
        for step in range(40):
            host.done = step / 40
            began += [event.number for event in host.train(conductor, 8, step).events]
        if curriculum.name != "edco":
            assert began == [] and host.fresh_optimizers == 0
            return
        assert began == list(range(1, method(variant).options["rounds"] + 1))
        assert host.fresh_optimizers == (0 if "keep" in variant else len(began) - 1)
