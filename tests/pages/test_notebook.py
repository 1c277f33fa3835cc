"""The notebook's cells run, on the tiny model and a few rows."""

import json
from pathlib import Path

import pytest
from datasets import Dataset


ROOT = Path(__file__).parents[2]
NOTEBOOK = json.loads((ROOT / "notebooks" / "one_gpu.ipynb").read_text())
REPLACED = {
    '"Qwen/Qwen2.5-0.5B-Instruct"': "TINY",
    "fp16=True": "use_cpu=True",
    "gradient_accumulation_steps=16": "gradient_accumulation_steps=4",
    "max_completion_length=256": "max_completion_length=8",
    "max_steps=40": "max_steps=2",
}


def cells() -> list[str]:
    return ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def test_its_cells_run_in_their_order(
    tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load_dataset(name: str, split: str) -> Dataset:
        assert (name, split) == ("nlile/hendrycks-MATH-benchmark", "train")
        rows = [{"problem": f"{k}+1?", "answer": str(k + 1), "level": 1 + k % 5} for k in range(40)]
        return Dataset.from_list(rows)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    install, *rest = cells()
    assert install.splitlines()[-1].startswith("%pip install ")
    scope: dict = {"TINY": tiny_path}
    found = set()
    for cell in rest:
        for words, instead in REPLACED.items():
            found |= {words} if words in cell else set()
            cell = cell.replace(words, instead)
        exec(cell, scope)
    assert found == set(REPLACED)
    assert len(scope["sec"]) == len(scope["uniform"]) == 2 * 2
    assert capsys.readouterr().out.count("; 1.00 of the groups taught nothing") == 2


def test_it_is_a_notebook_without_outputs() -> None:
    assert NOTEBOOK["nbformat"] == 4 and len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in NOTEBOOK["cells"])
