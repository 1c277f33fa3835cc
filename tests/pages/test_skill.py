"""The commands of the skill for agents do what it says, as far as they need no hub."""

import json
from pathlib import Path

import pytest
from test_commands import commands

from trl_curriculum.cli import main


ROOT = Path(__file__).parents[2]
PAGE = ROOT / "trl_curriculum" / ".agents" / "skills" / "trl-curriculum" / "SKILL.md"
RUN = [words for words in commands(PAGE) if "--help" not in words and "one_gpu" not in words[2:3]]
PLANNED = [words for words in RUN if words[0] not in ("methods", "recipes")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the skill names."""
    rows = [{"prompt": f"What is {k} + 1?", "completion": str(k + 1), "kind": "ab"[k % 2]} for k in range(800)]
    for name, some in (("chat", rows), ("pool", rows), ("questions", rows), ("trusted", rows[:8])):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_lists_and_shows(capsys: pytest.CaptureFixture[str]) -> None:
    told = [words for words in RUN if words[0] in ("methods", "recipes")]
    assert len(told) == 5
    for words in told:
        assert main(words) == 0
        assert "sec" in capsys.readouterr().out.lower()


@pytest.mark.parametrize("words", PLANNED, ids=lambda words: f"{words[0]}-{words[2]}")
def test_its_plans(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--dry_run" in words
    few = ["--task_size", "4", "--max_steps", "40"] if words[0] in ("grpo", "sft") else []
    before = sorted(folder.iterdir())
    assert main([*words, *few]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out.count("\n") >= 1
    assert sorted(folder.iterdir()) == before, "a plan writes nothing"
