import json
import logging
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from accelerate import PartialState

from trl_curriculum.disk.atomic import atomic_write
from trl_curriculum.disk.stages import DONE, SETTINGS, StageFolder
from trl_curriculum.disk.state import StateError
from trl_curriculum.report.history import read_history
from trl_curriculum.trainers.resuming import resolve_checkpoint


OURS = {"seed": 1, "model": {"name": "x", "kwargs": {"token": "hf_secret", "dtype": "float32"}}}


def begun(folder: Path, settings: dict[str, Any] = OURS) -> StageFolder:
    place = StageFolder(folder, settings)
    place.begin()
    (folder / "work").write_text("half")
    return place


def contents(folder: Path) -> dict[str, str]:
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_unfinished_it_is_gone_on_with(tmp_path: Path) -> None:
    place = begun(tmp_path / "a")
    assert place.report() is None
    again = StageFolder(tmp_path / "a", OURS)
    again.begin()
    assert again.report() is None and (tmp_path / "a/work").read_text() == "half"
    again.finish({"n": 1})
    assert StageFolder(tmp_path / "a", OURS).report() == {"n": 1}


def test_unfinished_with_other_settings_it_is_begun_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun(tmp_path / "a")
    other = StageFolder(tmp_path / "a", OURS | {"seed": 2})
    with caplog.at_level(logging.WARNING):
        other.begin()
    assert list(contents(tmp_path)) == [f"a/{SETTINGS}"] and "was begun with seed=1, and now it is 2" in caplog.text


def test_finished_with_other_settings_it_is_refused(tmp_path: Path) -> None:
    begun(tmp_path / "a").finish({})
    before = contents(tmp_path)
    other = json.loads(json.dumps(OURS))
    other["model"]["kwargs"]["dtype"] = "bfloat16"
    with pytest.raises(ValueError, match=r"a was made with model.kwargs.dtype='float32', and now it is 'bfloat16'"):
        StageFolder(tmp_path / "a", other).report()
    assert contents(tmp_path) == before


def test_secrets_are_not_written_and_may_change(tmp_path: Path) -> None:
    begun(tmp_path / "a").finish({"n": 1})
    assert "hf_secret" not in "".join(contents(tmp_path).values()) and '"***"' in contents(tmp_path)[f"a/{SETTINGS}"]
    other = json.loads(json.dumps(OURS))
    other["model"]["kwargs"]["token"] = "another"
    assert StageFolder(tmp_path / "a", other).report() == {"n": 1}


THEIRS = [
    {SETTINGS: '{"editor.fontSize": 14}'},
    {SETTINGS: json.dumps({"seed": 1}), DONE: "{}"},
    {SETTINGS: json.dumps({"written_by": "trl_curriculum"})},
    {SETTINGS: '["written_by"]'},
    {SETTINGS: '{"written_by": "trl_curr'},
    {DONE: '{"n": 1}'},
    {"thesis.tex": "all of it"},
    {"deep/thesis.tex": "all of it"},
]


@pytest.mark.parametrize("files", THEIRS, ids=lambda files: " ".join(files))
def test_what_is_not_ours_stays_and_is_refused(tmp_path: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (tmp_path / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "a" / name).write_text(text)
    place = StageFolder(tmp_path / "a", OURS)
    for use in (place.report, place.begin):
        with pytest.raises(ValueError, match=r"a has no settings.json that this package has written, .* move it else"):
            use()
    assert contents(tmp_path / "a") == files


def test_a_file_of_that_name_stays(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ValueError, match=r"a has no settings\.json that this package has written"):
        StageFolder(tmp_path / "a", OURS).begin()
    assert (tmp_path / "a").read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    begun(tmp_path / "a")
    assert sorted(contents(tmp_path)) == [f"a/{SETTINGS}", "a/work"]


@pytest.mark.parametrize("keep", [0, 5])
def test_a_cut_report_is_made_again(tmp_path: Path, keep: int, caplog: pytest.LogCaptureFixture) -> None:
    place = begun(tmp_path / "a")
    place.finish({"n": 1})
    (tmp_path / "a" / DONE).write_text((tmp_path / "a" / DONE).read_text()[:keep])
    with caplog.at_level(logging.WARNING):
        assert place.report() is None
    assert "the stage is run again" in caplog.text
    place.finish({"n": 1})
    assert place.report() == {"n": 1}


def test_removing_that_is_cut_off_leaves_ours_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is half removed and lacks its mark would be refused for ever."""
    begun(tmp_path / "a")

    def dies(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trl_curriculum.disk.atomic.shutil.rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            StageFolder(tmp_path / "a", {"seed": 2}).begin()
    place = StageFolder(tmp_path / "a", {"seed": 2})
    place.begin()
    assert json.loads((tmp_path / "a" / SETTINGS).read_text())["settings"] == {"seed": 2}
    assert stat.S_ISDIR((tmp_path / "a").stat().st_mode)


def test_a_kill_between_two_renames_is_undone_first(tmp_path: Path) -> None:
    begun(tmp_path / "a").finish({"n": 3})
    (tmp_path / "a").rename(tmp_path / ".a~elsewhere~123~before")
    assert StageFolder(tmp_path / "a", OURS).report() == {"n": 3}


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    place = begun(tmp_path / "a")
    (tmp_path / "a" / DONE / "mine").mkdir(parents=True)
    for act in (place.report, lambda: place.finish({})):
        with pytest.raises(
            IsADirectoryError, match=r"done\.json is a folder, where a file belongs: move it elsewhere"
        ):
            act()
    (tmp_path / "b").write_text("mine")
    with (
        pytest.raises(NotADirectoryError, match="b is a file, where a folder belongs"),
        atomic_write(tmp_path / "b") as d,
    ):
        d.mkdir()
    assert (tmp_path / "b").read_text() == "mine" and (tmp_path / "a" / DONE / "mine").is_dir()


@pytest.mark.parametrize("name", ["trainer_state.json", "scheduler.pt", "model.safetensors"])
def test_so_it_is_in_a_checkpoint(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoint-2" / name).mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=f"checkpoint-2/{name} is a folder"):
        resolve_checkpoint(PartialState(), str(tmp_path), "auto")


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("step", [1.0, np.nan], "holds a step that is no number"),
        ("row", [np.nan, 1.0], "holds a row that is no number"),
        ("draw", [0, -1], "holds a draw that is no number"),
        ("arm", ["a", None], "holds an arm that is no name"),
    ],
)
def test_a_history_that_was_changed(tmp_path: Path, column: str, values: list[Any], words: str) -> None:
    whole = {
        "step": [1, 2],
        "draw": [0, 1],
        "row": [4, 5],
        "arm": ["a", "b"],
        "probability": [np.nan] * 2,
        "length": [1.0] * 2,
    }
    folder = tmp_path / "curriculum_history"
    folder.mkdir()
    file = folder / "draws-000000000000.parquet"
    pd.DataFrame(whole).to_parquet(file)
    assert read_history(tmp_path)["row"].tolist() == [4, 5]
    pd.DataFrame(whole | {column: values}).to_parquet(file)
    with pytest.raises(StateError, match=words):
        read_history(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(IsADirectoryError, match="parquet is a folder"):
        read_history(tmp_path)
