"""A conductor with a simulated host: what it draws, checks, hands on and writes down, without a trainer."""

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import Recording

from trl_curriculum import Feedback, Pool, read_history
from trl_curriculum.curricula import EDCO, SEC, ArmCurriculum, CurriculumMethod, Draw, EVOCurate, LossTopK, Uniform
from trl_curriculum.report.history import History
from trl_curriculum.trainers.conductor import Conductor


POOL = Pool(12, arm=np.arange(12) % 3, arm_names=["a", "b", "c"])


class Meeting:
    """Where the simulated processes exchange what they gather."""

    def __init__(self, processes: int) -> None:
        self.barrier = threading.Barrier(processes, timeout=600)
        self.parts: list[Any] = [None] * processes

    def gather(self, process: int, part: np.ndarray) -> np.ndarray:
        self.parts[process] = part
        self.barrier.wait()
        everyone = np.concatenate(self.parts)
        self.barrier.wait()
        return everyone


class Learner:
    """A host that trains on nothing."""

    def __init__(self, steps: int = 10, process: int = 0, meeting: Meeting | None = None) -> None:
        self.steps, self.process, self.meeting = steps, process, meeting or Meeting(1)
        self.step = 0
        self.forgot: list[int] = []  # steps

    @property
    def processes(self) -> int:
        return len(self.meeting.parts)

    def progress(self) -> float:
        return self.step / self.steps

    def gather(self, columns: Sequence[Any], length: int) -> np.ndarray:
        local = np.zeros((length, len(columns)))
        local[: len(columns[0])] = np.stack(columns, axis=1)
        return self.meeting.gather(self.process, local)

    def forget_optimizer(self) -> None:
        self.forgot.append(self.step)

    def prompts(self, rows: Any) -> list[Any]:
        raise NotImplementedError

    def row_loss(self, rows: Any) -> Any:
        raise NotImplementedError


def conductor(folder: Path, method: CurriculumMethod, host: Any = None, seed: int = 0, **changes: Any) -> Conductor:
    host = host or Learner()
    return Conductor(
        method, changes.pop("pool", POOL), seed, host, History(folder, write=host.process == 0), **changes
    )


def loss_of(row: np.ndarray) -> np.ndarray:
    return 1.0 + row / 10


def step(made: Conductor, n: int = 4, loss: Callable[[np.ndarray], np.ndarray] = loss_of) -> Draw:
    """Draws, shares the rows out, gathers their losses, and observes them: what SFT does."""
    host: Any = made.host
    draw = made.draw(n)
    made.will_train_on(draw)
    parts = np.array_split(draw.row, host.processes)
    (shown,) = made.gather_checked(parts, loss(parts[host.process]))
    length = np.full(n, 7)
    made.observe(draw, Feedback(draw.row, draw.id, host.step, loss=shown, entropy=shown, length=length))
    host.step += 1
    return draw


def on_two(folder: Path, method: CurriculumMethod, seeds: tuple[int, int] = (0, 0), n: int = 4) -> list[list[Any]]:
    meeting = Meeting(2)

    def run(process: int) -> list[Any]:
        made = conductor(folder / str(process), method, Learner(5, process, meeting), seeds[process])
        drawn = [step(made, n).row.tolist() for _ in range(5)]
        made.finish()
        return drawn

    with ThreadPoolExecutor(2) as pool:
        return [future.result() for future in [pool.submit(run, process) for process in (0, 1)]]


class TestTwoProcesses:
    @pytest.mark.parametrize("n", [4, 5])  # halves, and parts of three and two rows
    def test_draw_alike_and_as_one_process_would(self, tmp_path: Path, n: int) -> None:
        method = LossTopK(share=0.5, refresh_steps=1)
        first, second = on_two(tmp_path, method, n=n)
        alone = conductor(tmp_path / "alone", method, Learner(5))
        assert first == second == [step(alone, n).row.tolist() for _ in range(5)]
        alone.finish()
        assert read_history(tmp_path / "0").equals(read_history(tmp_path / "alone"))
        assert not list((tmp_path / "1").glob("*")), "two processes wrote one history"
        assert min(first[-1]) >= 4, "the losses that were gathered had no effect"

    def test_that_drew_differently_are_noticed(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="The processes drew different rows: their curricula have diverged"):
            on_two(tmp_path, Uniform(), seeds=(0, 1))


def test_a_group_with_a_single_reward_has_no_variance_to_speak_of(tmp_path: Path) -> None:
    """Of four rollouts each: all scored and alike, all but two scored, one scored, none."""
    made = conductor(tmp_path, Uniform())
    draw = made.draw(4)
    reward = np.array([[1.0] * 4, [0, 1, np.nan, np.nan], [1] + [np.nan] * 3, [np.nan] * 4]).ravel()
    row, ids = np.repeat(draw.row, 4), np.repeat(draw.id, 4)
    length = np.full(16, 3)
    made.observe(draw, Feedback(row, ids, 0, reward=reward, advantage=np.nan_to_num(reward), length=length))
    assert made.metrics()["frac_zero_variance"] == 0.5, "of the two groups with two rewards or more"
    made.finish()
    history = read_history(tmp_path)
    assert history["zero_variance"].tolist() == [True, False, False, False]
    assert history["scored"].tolist() == [4, 2, 1, 0]


class TestRounds:
    @pytest.mark.parametrize("optimizer", ["reset", "keep"])
    def test_the_optimizer_is_forgotten_once_for_each_round_but_the_first(
        self, tmp_path: Path, optimizer: Any
    ) -> None:
        made = conductor(tmp_path, EDCO(rounds=3, score_by="random", optimizer=optimizer), Learner(9))
        for _ in range(9):
            step(made)
        assert made.curriculum.round == 3
        assert made.host.forgot == ([3, 6] if optimizer == "reset" else [])  # type: ignore[attr-defined]

    def test_a_round_that_begins_within_a_packed_step_is_noticed(self, tmp_path: Path) -> None:
        """Several draws make one step there, and some of them were put back."""
        made = conductor(tmp_path, EDCO(rounds=2, score_by="random"), Learner(2))
        draw = made.draw(4)
        made.curriculum.put_back(draw[2:])
        made.host.step = 1  # type: ignore[attr-defined]
        assert len(made.draw(2)) == 2 and made.host.forgot == []  # type: ignore[attr-defined]
        made.draw(2)
        assert made.host.forgot == [1]  # type: ignore[attr-defined]


class TestProbes:
    def test_without_a_measurer_they_are_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(RuntimeError, match="'evo_curate' asks for a probe, and nobody measures here"):
            conductor(tmp_path, EVOCurate(measure="probe")).draw(4)

    def test_are_answered_before_the_draw_until_nothing_is_asked_for(self, tmp_path: Path) -> None:
        made = conductor(tmp_path, LossTopK(share=0.25, measure="probe", refresh_steps=2))
        measured: list[tuple[str, int, int]] = []

        def measure(kind: str, rows: np.ndarray) -> tuple[np.ndarray, None]:
            measured.append((kind, made.host.step, len(rows)))  # type: ignore[attr-defined]
            return loss_of(rows), None

        made.measure = measure
        drawn = {int(row) for _ in range(4) for row in step(made, 3).row}
        assert measured == [("loss", 0, 12), ("loss", 2, 12)]
        assert drawn == {9, 10, 11}


class Curious(SEC):
    """Wants to know something, though it has not said what."""

    name = "curious"


class CuriousCurriculum(ArmCurriculum, of=Curious):
    def rows_to_probe(self, progress: float = 0.0) -> np.ndarray:
        return np.arange(3)


def test_a_curriculum_that_does_not_say_what_it_measures_is_an_error(tmp_path: Path) -> None:
    made = conductor(tmp_path, Curious())
    made.measure = lambda kind, rows: (np.zeros(len(rows)), None)
    with pytest.raises(RuntimeError, match="'curious' asks for a probe"):
        made.draw(4)


class Watched(Uniform):
    name = "watched"


class WatchedCurriculum(Recording, Uniform.bound, of=Watched):  # type: ignore[misc,name-defined]
    """Writes down what it drew and observed."""


class TestAStep:
    def test_draws_with_the_progress_of_its_host_and_hands_feedback_on(self, tmp_path: Path) -> None:
        made = conductor(tmp_path, Watched(), Learner(8))
        draws = [step(made) for _ in range(3)]
        events = made.curriculum.events
        assert events[::2] == draws and [shown.step for shown in events[1::2]] == [0, 1, 2]
        assert all(shown.loss.tolist() == loss_of(shown.row).tolist() for shown in events[1::2])
        assert made.curriculum.progress == 2 / 8

    def test_is_written_down_by_the_places_of_the_users_dataset(self, tmp_path: Path) -> None:
        made = conductor(tmp_path, Uniform(), position=np.arange(12) * 10 + 3)
        rows = np.concatenate([step(made).row for _ in range(3)])
        made.finish()
        history = read_history(tmp_path)
        assert history["row"].tolist() == (rows * 10 + 3).tolist()
        assert history["loss"].tolist() == loss_of(rows).tolist() and history["arm"].tolist() == [
            "abc"[r % 3] for r in rows
        ]

    def test_is_reported_once(self, tmp_path: Path) -> None:
        made = conductor(tmp_path, Uniform(), pool=Pool(3))
        assert not made.has_news
        missing = np.array([np.nan, 1.0, 1.0])
        step(made, 5, lambda row: missing[row])  # every row at least once, two of them twice
        assert made.has_news
        values = made.metrics()
        assert values["staleness"] == 0 and values["repeated_rows"] == 2 and values["pulls/all"] == 5
        assert 1 <= values["unobserved_rows"] <= 2 and values["loss/all"] == 1.0
        assert not made.has_news and "staleness" not in made.metrics()

    def test_draws_before_feedback_are_stale(self, tmp_path: Path) -> None:
        made = conductor(tmp_path, Uniform())
        step(made)
        made.will_train_on(made.draw(4))
        made.will_train_on(made.draw(4))
        assert made.metrics()["staleness"] == pytest.approx(1 / 3)  # one was unanswered at the third


class TestTheEnd:
    @pytest.mark.parametrize(("refresh_steps", "warned"), [(2, False), (50, True)])
    def test_what_was_never_done_is_warned_of(
        self, tmp_path: Path, refresh_steps: int, warned: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = conductor(tmp_path, EVOCurate(refresh_steps=refresh_steps))
        for _ in range(3):
            step(made)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            made.finish()
        assert ("evo_curate drew all rows alike: training ended before its first refresh" in caplog.text) == warned


class TestState:
    def test_the_next_draws_are_those_of_a_run_that_was_never_interrupted(self, tmp_path: Path) -> None:
        method = EVOCurate(refresh_steps=2)
        whole = conductor(tmp_path, method, Learner(8))
        for _ in range(3):
            step(whole)
        whole.history.flush()
        state = whole.state_dict()
        expected = [step(whole).row.tolist() for _ in range(3)]
        whole.finish()
        full = read_history(tmp_path)
        resumed = conductor(tmp_path, method, Learner(8))
        assert resumed.load_state_dict(state) is None
        assert len(read_history(tmp_path)) == 12, "draws that are made again are still in the history"
        resumed.host.step = 3  # type: ignore[attr-defined]
        assert [step(resumed).row.tolist() for _ in range(3)] == expected
        resumed.finish()
        assert read_history(tmp_path).equals(full)

    def test_a_history_that_lacks_draws_is_warned_of(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        first = conductor(tmp_path / "first", Uniform())
        step(first)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            conductor(tmp_path / "second", Uniform()).load_state_dict(first.state_dict())
        assert f"The history in {tmp_path / 'second'} holds 0 of the 4 draws before the checkpoint" in caplog.text

    def test_other_rows_are_carried_over_and_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        hashes = np.arange(12, dtype=np.uint64)
        first = conductor(tmp_path, Uniform(), pool=Pool(12, row_hash=hashes))
        step(first)
        first.history.flush()
        second = conductor(tmp_path, Uniform(), pool=Pool(12, row_hash=hashes + np.uint64(2)))
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            mapping = second.load_state_dict(first.state_dict(), carry_over=True)
        assert mapping is not None and mapping.row.tolist() == [*range(2, 12), -1, -1]
        assert "Resuming on changed data: 10 rows kept, 2 new, 2 lost." in caplog.text

    def test_a_history_begins_anew_where_nothing_was_drawn(self, tmp_path: Path) -> None:
        first = conductor(tmp_path, Uniform())
        step(first)
        first.finish()
        first.start()  # a second training continues the curriculum
        assert len(read_history(tmp_path)) == 4
        conductor(tmp_path, Uniform()).start()
        assert len(read_history(tmp_path)) == 0 and (tmp_path / "curriculum_history.1").exists()


def test_a_curriculum_that_asks_for_ever_is_stopped(tmp_path: Path) -> None:
    made: Any = conductor(tmp_path, EDCO())
    made.curriculum.rows_to_probe = lambda progress: np.arange(12)
    made.curriculum.observe_probe = lambda rows, values, scores: None
    made.measure = lambda what, rows: (np.zeros(len(rows)), None)
    with pytest.raises(RuntimeError, match=r"'edco. has asked for 10000 probes before one draw: .* must return"):
        made.draw(4)


class TestHistory:
    def test_what_packed_rows_showed_goes_to_their_own_draws(self, tmp_path: Path) -> None:
        """Packing trains on draws in another order than they were made, and feedback comes in yet another."""
        draw = Draw(np.array([7, 1, 4]), np.array([1, 1, 1]), np.full(3, 0.1), np.array([9, 2, 5]))
        order = np.array([2, 0, 1])
        loss = np.array([0.7, 0.1, 0.4])
        length = np.array([70, 10, 40])
        shown = Feedback(
            draw.row[order], draw.id[order], 0, loss=loss[order], entropy=loss[order], length=length[order]
        )
        history = History(tmp_path, write=True)
        history.add(draw, POOL.arm_names, shown)
        history.flush()
        told = read_history(tmp_path)
        assert told["draw"].tolist() == [9, 2, 5] and told["row"].tolist() == [7, 1, 4]
        assert told["loss"].tolist() == loss.tolist() and told["length"].tolist() == length.tolist()

    def test_draws_that_wait_are_made_again_after_a_resume(self, tmp_path: Path) -> None:
        draw = Draw(np.arange(4), np.zeros(4, np.int64), np.full(4, 0.1), np.arange(4))
        ones = np.ones(4)
        history = History(tmp_path, write=True, every=4)
        history.add(draw, POOL.arm_names, Feedback(draw.row, draw.id, 0, loss=ones, entropy=ones, length=ones))
        assert len(read_history(tmp_path)) == 4, "a full segment does not wait for a checkpoint"
        assert history.rewind(4, np.array([1])) == 3
        assert read_history(tmp_path)["draw"].tolist() == [0, 2, 3]
