from pathlib import Path

import numpy as np
import pytest

from trl_curriculum import CURRICULA, Pool
from trl_curriculum.disk.state import StateError, read_state, write_state


STATE = {
    "a": np.arange(3),
    "b": {"c": np.array([[1.5, np.nan]]), "d": [1, "x", None], "big": 2**127},
    "n": np.int64(7),
}


def test_round_trip(tmp_path: Path) -> None:
    write_state(tmp_path / "s", STATE)
    back = read_state(tmp_path / "s")
    assert back["a"].tolist() == [0, 1, 2] and back["b"]["d"] == [1, "x", None]
    assert back["b"]["big"] == 2**127 and back["n"] == 7
    np.testing.assert_array_equal(back["b"]["c"], STATE["b"]["c"])  # type: ignore[index]


def test_writing_again_replaces_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_state(tmp_path / "s", STATE)
    write_state(tmp_path / "s", {"only": 1})
    assert read_state(tmp_path / "s") == {"only": 1} and [p.name for p in tmp_path.iterdir()] == ["s"]


@pytest.mark.parametrize("name", ["state.json", "arrays.npz"])
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_refused_in_one_sentence(tmp_path: Path, name: str, keep: float) -> None:
    write_state(tmp_path / "s", CURRICULA.make("sec").bind(Pool(60, arm=np.arange(60) % 3)).state_dict())
    file = tmp_path / "s" / name
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    with pytest.raises(StateError, match=r"cannot be read .* resume from an earlier checkpoint"):
        read_state(tmp_path / "s")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        read_state(tmp_path / "nothing")


def test_pickled_arrays_are_not_loaded(tmp_path: Path) -> None:
    write_state(tmp_path / "s", STATE)
    np.savez(tmp_path / "s" / "arrays.npz", a=np.array([{"x": 1}], dtype=object), **{"b/c": np.zeros(1)})
    with pytest.raises(StateError, match="cannot be read"):
        read_state(tmp_path / "s")
