"""The README's and the docs' code runs, and what they list exists."""

import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import pool
from datasets import Dataset
from simulate import run

from trl_curriculum import available_curricula, make_curriculum
from trl_curriculum.named import BUILT_IN
from trl_curriculum.rounds.selection import SelectionSettings
from trl_curriculum.selection import SELECTORS, evoselect


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def test_the_curriculum_in_the_readme_works() -> None:
    scope: dict = {}
    exec(next(block for block in blocks(README) if "class Shortest" in block), scope)
    curriculum = make_curriculum(scope["Shortest"], pool())
    first = run(curriculum, 8, np.full(60, 0.5))
    assert len({row for draw in first for row in draw.row.tolist()}) == 60  # unseen rows first
    again = make_curriculum(scope["Shortest"], pool())
    again.load_state_dict(curriculum.state_dict())
    assert again.select(8).row.tolist() == curriculum.select(8).row.tolist()


def test_the_sft_code_in_the_readme_trains(tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = next(block for block in blocks(README) if "CurriculumSFTTrainer(" in block)
    code = code.replace("Qwen/Qwen3-1.7B-Base", tiny_path).replace("Config(", "Config(use_cpu=True, bf16=False, ")
    scope: dict = {"dataset": Dataset.from_dict({"text": [f"{i}+{i}#{2 * i}" for i in range(224)]})}
    exec(code, scope)
    assert scope["trainer"].state.global_step == 84  # 3 epochs of 224 rows, 8 a step
    assert scope["trainer"].curriculum.refreshes == 2


def test_every_method_is_documented() -> None:
    methods = (ROOT / "docs" / "methods.md").read_text()
    for name, cls in available_curricula().items():
        if name in BUILT_IN:
            assert f"| `{name}` |" in README and f"\n## {name}\n" in methods
            assert cls.paper == "-" or cls.paper.removeprefix("arXiv ") in README


def test_every_selector_is_documented() -> None:
    page = (ROOT / "docs" / "selection.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name in SELECTORS:
        assert any(f"`{name}`" in line.split("|")[1] for line in rows), name
    settings = SelectionSettings()
    assert settings.projection in page and f"{settings.dimension:,}" in page
    defaults = {name: one.default for name, one in inspect.signature(evoselect).parameters.items()}
    for words in ("`diversity` | .3 |", "`epsilon` | .05 |", "| 50, 1/√steps |", "`tolerance` | .001 |"):
        assert words in page
    assert [defaults[name] for name in ("diversity", "epsilon", "steps", "tolerance")] == [0.3, 0.05, 50, 1e-3]


def test_the_selection_in_the_docs_works() -> None:
    rng = np.random.default_rng(0)
    scope = {name: torch.from_numpy(rng.normal(size=(n, 8))) for name, n in (("candidates", 300), ("targets", 9))}
    scope = {name: value / value.norm(dim=1, keepdim=True) for name, value in scope.items()}
    code = next(block for block in blocks((ROOT / "docs" / "selection.md").read_text()) if "evoselect(" in block)
    exec(code, scope)
    assert len(scope["chosen"].row) == 200


def test_links_and_files_exist() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md"):
        text = page.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
        for recipe in re.findall(r"recipes/[\w/]+\.(?:yaml|py)", text):
            assert (ROOT / recipe).exists(), f"{page.name} names {recipe}"
        for target in re.findall(r"`make (\w+)", text):
            assert f"\n{target}:" in (ROOT / "Makefile").read_text(), f"{page.name} names make {target}"


def test_no_placeholder_is_left() -> None:
    assert "@@" not in README
