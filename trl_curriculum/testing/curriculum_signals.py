"""What every curriculum makes of signals that are missing, constant, late, or measured by a probe."""

import numpy as np
import pytest

from ..curricula import ArmCurriculum, RowCurriculum, SuccessCurriculum
from ..signals import Feedback
from .case import as_bytes, through_disk
from .curricula import SUCCESS, CurriculumCase, rows
from .simulated import answer_probe, follows_loss, from_losses, losses, shown


def survives_missing_and_constant_rewards_and_losses(case: CurriculumCase) -> None:
    for constant in (np.nan, 0.0, 1.0, None):
        curriculum = case.bind()
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
        if isinstance(curriculum, SuccessCurriculum) and np.isnan(constant or 0.0):
            p = curriculum.probabilities()  # nothing was learnt
            assert p is None or p == pytest.approx(np.full(60, 1 / 60))
        if isinstance(curriculum, ArmCurriculum):
            assert np.isfinite(curriculum.belief().mean).all()
        assert all(np.isfinite(value) for value in curriculum.metrics().values())


def empty_feedback_teaches_nothing(case: CurriculumCase) -> None:
    curriculum = case.bind()
    nothing = np.empty(0)
    before = curriculum.metrics()
    none = np.empty(0, int)
    if follows_loss(curriculum):
        curriculum.observe(Feedback(none, none, 0, length=none, loss=nothing, entropy=nothing))
    else:
        curriculum.observe(Feedback(none, none, 0, nothing, nothing, none, rewards={"accuracy": nothing}))
    if not case.forgets:
        assert curriculum.metrics() == before


def a_probe_asks_the_same_until_it_is_answered(case: CurriculumCase) -> None:
    curriculum = case.bind()
    rng = np.random.default_rng(0)
    asked_at = []
    for step in range(10):
        while (asked := curriculum.rows_to_probe(step / 10)) is not None:
            asked_at.append(step)
            assert len(set(asked.tolist())) == len(asked) > 0 and ((0 <= asked) & (asked < 60)).all()
            resumed = case.bind(seed=99)
            resumed.load_state_dict(through_disk(curriculum.state_dict()))
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


def a_probe_without_any_loss_is_answered_too(case: CurriculumCase) -> None:
    curriculum = case.bind()
    if curriculum.method.probe is None:
        pytest.skip("it asks for no probe")
    drawn = []
    for step in range(20):
        while (asked := curriculum.rows_to_probe(step / 20)) is not None:
            curriculum.observe_probe(asked, np.full(len(asked), np.nan))
        drawn.append(curriculum.select(8, step / 20))
    assert set(rows(drawn)) <= set(range(60))
    assert all(np.isfinite(value) for value in curriculum.metrics().values())


def whoever_follows_nothing_takes_any_feedback(case: CurriculumCase) -> None:
    curriculum, rng = case.bind(), np.random.default_rng(0)
    if curriculum.method.follows:
        pytest.skip("it follows a column of Feedback")
    for step in range(5):
        answer_probe(curriculum, SUCCESS, rng, step / 5)
        draw = curriculum.select(8, step / 5)
        curriculum.observe(from_losses(draw, losses(draw.row, SUCCESS, rng), step))


def a_late_signal_that_it_does_not_want_changes_nothing(case: CurriculumCase) -> None:
    plain, late = case.bind(), case.bind()
    if plain.method.wants:
        pytest.skip("it wants late signals")
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
    assert as_bytes(plain.state_dict()) == as_bytes(late.state_dict())


SIGNALS = [
    survives_missing_and_constant_rewards_and_losses,
    empty_feedback_teaches_nothing,
    a_probe_asks_the_same_until_it_is_answered,
    a_probe_without_any_loss_is_answered_too,
    whoever_follows_nothing_takes_any_feedback,
    a_late_signal_that_it_does_not_want_changes_nothing,
]
