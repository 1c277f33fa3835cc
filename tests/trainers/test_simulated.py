"""The conductor without a trainer: a simulated host drives it."""

import subprocess
import sys

import numpy as np
import pytest
from cases import make

from trl_curriculum.testing.simulated import SimulatedHost, conduct
from trl_curriculum.trainers.conductor import Conductor


SUCCESS = np.linspace(0, 1, 60)


@pytest.fixture
def host() -> SimulatedHost:
    return SimulatedHost(SUCCESS)


def test_it_needs_none_of_trls_trainers() -> None:
    code = "import sys, trl_curriculum.trainers.conductor; print([name for name in sys.modules if name == 'trl'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_a_probe_that_nobody_measures_is_an_error(host: SimulatedHost) -> None:
    conductor = conduct(make("edco"), host)
    conductor.measure = None
    with pytest.raises(RuntimeError, match="'edco' asks for a probe, and nobody measures here"):
        conductor.draw(4)


def test_processes_that_drew_other_rows_are_found(host: SimulatedHost) -> None:
    conductor = conduct(make("uniform"), host)
    rows = conductor.draw(4).row
    (length,) = conductor.gather_checked([rows], np.arange(4.0))
    assert length.tolist() == [0, 1, 2, 3]
    host.gather = lambda columns, length: np.stack([columns[0] + 1, *columns[1:]], axis=1)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="The processes drew different rows"):
        conductor.gather_checked([rows], np.arange(4.0))


def test_parts_of_several_processes_are_put_together_without_their_filling(host: SimulatedHost) -> None:
    """Process 0 has 2 entries and process 1 has 3; gathered, each is filled up to 3."""
    conductor = conduct(make("uniform"), host)
    everyone = np.array([[5, 1.5], [6, 2.5], [0, 0], [7, 3.5], [8, 4.5], [9, 5.5]])
    host.gather = lambda columns, length: everyone  # type: ignore[method-assign]
    (value,) = conductor.gather_checked([np.array([5, 6]), np.array([7, 8, 9])], np.array([1.5, 2.5]))
    assert value.tolist() == [1.5, 2.5, 3.5, 4.5, 5.5]


def test_what_it_logs_of_some_steps(host: SimulatedHost) -> None:
    conductor = conduct(make("sec"), host)
    assert not conductor.has_news
    draws = [host.train(conductor, 8, step) for step in range(3)]
    assert conductor.has_news
    news = conductor.metrics()
    pulls = np.bincount(np.concatenate([draw.arm for draw in draws]), minlength=5)
    assert [news.get(f"pulls/arm{k}", 0) for k in range(5)] == pulls.tolist()
    assert news["staleness"] == 0 and news["unobserved_rollouts"] == 0
    assert news["repeated_rows"] == np.mean([8 - len(set(draw.row.tolist())) for draw in draws])
    assert not conductor.has_news and "staleness" not in conductor.metrics()


def test_a_second_draw_before_the_first_is_observed_is_stale(host: SimulatedHost) -> None:
    conductor = conduct(make("sec"), host)
    conductor.will_train_on(conductor.draw(4))
    conductor.will_train_on(conductor.draw(4))
    assert conductor.metrics()["staleness"] == 0.5


def test_it_goes_on_from_its_state() -> None:
    hosts = [SimulatedHost(SUCCESS, seed) for seed in (0, 5)]
    first = conduct(make("sec"), hosts[0])
    for step in range(3):
        hosts[0].train(first, 8, step)
    second: Conductor = conduct(make("sec", seed=9), hosts[1])
    assert second.load_state_dict(first.state_dict()) is None
    assert first.draw(8).row.tolist() == second.draw(8).row.tolist()
