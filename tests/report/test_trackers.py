"""Alarms by numbers that can be worked out, and what a real Trackio run holds of them."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import tiny
from commands import forked
from harness import trainer

from trl_curriculum.report.alarms import alarms


def frame(n: int, **columns: Any) -> pd.DataFrame:
    made = {"step": range(n), "draw": range(n), "row": range(n), "arm": [*"ab"] * (n // 2), "length": 1.0}
    return pd.DataFrame(made | {"reward": 0.5, "zero_variance": False, "scored": 4} | columns)


@pytest.mark.parametrize(
    ("history", "n_arms", "titles"),
    [
        (frame(100), 2, []),
        (frame(62, arm="a", zero_variance=True), 2, []),  # too early to tell
        (frame(100, arm=["a"] * 95 + ["b"] * 5), 2, ["collapsed onto one arm"]),
        (frame(100, arm=["a"] * 94 + ["b"] * 6), 2, []),
        (frame(100, arm="a"), 1, []),  # there is no other
        (frame(400, arm=["b"] * 144 + ["a"] * 256), 2, ["collapsed onto one arm"]),  # it is the last draws that count
        (frame(100, zero_variance=[True] * 95 + [False] * 5), 2, ["without variance"]),
        (frame(100, zero_variance=[True] * 94 + [False] * 6), 2, []),
        (frame(100, zero_variance=True, scored=1), 2, []),  # a single reward tells nothing
        # 20 rows fail three times each, in turn; of 120 draws 60 go to a row that has: one fewer is not half.
        (frame(120, row=[*range(20)] * 6, reward=0.0), 2, ["stuck"]),
        (frame(120, row=[*range(20)] * 6, reward=[0.0] * 59 + [1.0] + [0.0] * 60), 2, []),
    ],
)
def test_alarms(history: pd.DataFrame, n_arms: int, titles: list[str]) -> None:
    found = [one.title for one in alarms(history, n_arms)]
    assert len(found) == len(titles) and all(title in one for title, one in zip(titles, found, strict=True)), found


def test_losses_have_no_groups() -> None:
    history = frame(100, loss=1.0, arm="a").drop(columns=["reward", "zero_variance", "scored"])
    assert [one.title for one in alarms(history, 3)] == ["The curriculum has collapsed onto one arm"]


def test_trackio_holds_tables_a_figure_and_one_alert_of_each_kind(tmp_path: Path) -> None:
    """A real run of Trackio, in its own folder and without a network."""

    def body() -> None:
        os.environ |= {"TRACKIO_DIR": str(tmp_path / "trackio"), "GRADIO_ANALYTICS_ENABLED": "False"}
        for name, module in sys.modules.items():  # which read their folder when they were imported, maybe by a test
            if name.split(".")[0] == "trackio" and hasattr(module, "TRACKIO_DIR"):
                vars(module)["TRACKIO_DIR"] = tmp_path / "trackio"
        run = trainer(
            tmp_path / "run",
            train_dataset=tiny.dataset().select(range(8)),
            reward_funcs=lambda completions, **kwargs: [0.0] * len(completions),
            report_to="trackio",
            project="curricula",
            run_name="tiny",
            trackio_static_space_id=False,
            per_device_train_batch_size=32,
            max_steps=12,
        )
        run.train()
        from trackio.sqlite_storage import SQLiteStorage

        logs = SQLiteStorage.get_logs("curricula", "tiny")
        told = {key: value for one in logs for key, value in one.items() if key.startswith("curriculum/")}
        shown = {"alerts": SQLiteStorage.get_alerts("curricula"), "told": told}
        (tmp_path / "shown.json").write_text(json.dumps(shown, default=str))

    done = forked(body, tmp_path)
    assert done.code == 0, done.said
    assert "Trackio was not told" not in done.said, done.said
    shown = json.loads((tmp_path / "shown.json").read_text())
    titles = sorted(one["title"] for one in shown["alerts"])
    assert titles == ["Nearly all groups are without variance", "The curriculum is stuck"]
    assert {one["level"] for one in shown["alerts"]} == {"warn"}
    arms, rows, waste = (shown["told"][f"curriculum/{name}"]["_value"] for name in ("arms", "rows", "waste"))
    assert sum(one["draws"] for one in arms) == 12 * 8 and {one["arm"] for one in arms} <= {*"abcd"}
    assert {one["state"]: one["rows"] for one in rows}["stuck"] > 0 and sum(one["rows"] for one in rows) == 8
    assert waste[0]["kind"] == "Stuck" and waste[0]["rows"] > 0
    assert shown["told"]["curriculum/draws"]["_type"] == "trackio.image"
