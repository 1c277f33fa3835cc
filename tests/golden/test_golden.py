"""The golden runs draw and train on what they did when draws.json was written."""

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import runs


DRAWS: dict[str, runs.Drawn] = json.loads(Path(__file__).with_name("draws.json").read_text())


def test_all_are_pinned() -> None:
    assert list(DRAWS) == list(runs.CASES)


@pytest.mark.parametrize("case", runs.CASES)
def test_draws(case: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(gc, "collect", lambda *args: 0)  # slow among all that a test process holds
    shown, _ = runs.run(case, tmp_path)
    assert runs.differences(DRAWS[case], shown, tolerance=1e-3) == []
