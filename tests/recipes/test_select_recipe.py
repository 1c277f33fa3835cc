"""The select script: rows in, rows out, in one process and in two, and mistakes in what it is given."""

import json
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
from processes import recipe_together

from trl_curriculum.cli import main
from trl_curriculum.generators import load


def write(file: Path, rows: list[dict[str, Any]]) -> str:
    file.write_text("\n".join(map(json.dumps, rows)))
    return str(file)


@pytest.fixture
def command(tmp_path: Path, tiny_path: str) -> list[str]:
    pool = [
        {
            "prompt": f"{i}{i % 7}:{'abcdef'[i % 6]}{'fedcba'[i % 5]}#",
            "completion": "gh" * (1 + i % 3),
            "source": "xy"[i % 2],
        }
        for i in range(40)
    ]
    targets = [{"prompt": f"{i}:{'abc'[i % 3] * 3}#", "completion": "gh" * (1 + i % 3)} for i in range(6)]
    pool.append(targets[0] | {"source": "leak"})
    pool.append({"prompt": "1:abc#", "completion": "g" * 60, "source": "nothing left to train on"})
    return [
        *("select", "--candidates", write(tmp_path / "pool.jsonl", pool)),
        *("--targets", write(tmp_path / "targets.jsonl", targets)),
        *(
            "--keep",
            "0.25",
            "--features",
            '{"dimension": 128}',
            "--proxy",
            '{"steps": 2}',
        ),
        *("--model_name_or_path", tiny_path, "--dtype", "float32", "--output_dir", str(tmp_path / "out")),
        *("--use_cpu", "--bf16", "false", "--gradient_checkpointing", "false", "--disable_tqdm", "true"),
        *("--num_cpu_threads_per_process", "1", "--num_processes", "1"),
    ]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def test_rows_in_and_out(command: list[str], out: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(command) == 0  # by accelerate
    kept = load(out / "evoselect/selected.parquet")
    told = json.loads((out / "evoselect/selection.json").read_text())
    assert len(kept) == told["kept"] == 10 and told["candidates"] == 41
    assert told["effective_size"] >= 10 and {"transport", "vendi", "shares", "near_duplicates_dropped"} <= told.keys()
    shown = capfd.readouterr().out
    assert "leakage: question of a target" in shown and "evoselect/selected.parquet" in shown


def test_two_processes_keep_the_same(command: list[str], out: Path, tmp_path: Path) -> None:
    examples = [{"prompt": f"{i}:ab#", "completion": "h" * (1 + i)} for i in range(2)]
    command += ["--examples", write(tmp_path / "examples.jsonl", examples), "--selection", "attribution"]
    launching = command.index("--num_cpu_threads_per_process")
    command = [*command[:launching], *command[launching + 4 :]]
    assert commands.command(command, tmp_path).code == 0
    one = load(out / "attribution/selected.parquet")
    command[command.index("--output_dir") + 1] = str(tmp_path / "two")
    recipe_together("select_rows", *command[1:], folder=tmp_path)
    two = load(tmp_path / "two/attribution/selected.parquet")
    features = [np.load(folder / "features/candidates/features.npy") for folder in (out, tmp_path / "two")]
    np.testing.assert_allclose(*features, atol=2e-3)
    assert [row.question for row in one] == [row.question for row in two]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--selection", "evoselekt"], "Unknown selection method 'evoselekt' (did you mean 'evoselect'?)"),
        (["--keep", "100"], "keep=100 is more than the 42 candidates that can be used"),
        (["--method", "tsds"], "method, on the command line, is now spelled `selection: name, or selection: {name:"),
        (["--selection", '{"dimension": 128}'], "`keep`, `distinct` and `features` beside it"),
        (["--selection", '{"evoselect": {"eta": -1}}'], "eta=-1 of evoselect must be above 0"),
        (["--features", '{"dimensions": 1}'], "features has no option 'dimensions' (did you mean 'dimension'?)"),
        (["--features", '{"dimension": 0}'], "dimension=0 of features must be at least 1"),
        (["--distinct", "0"], "distinct=0.0 of the selection must be above 0 and at most 1"),
        (["--keep", "inf"], "keep=inf of the selection must be above 0 and finite"),
        (["--proxy", '{"stps": 8}'], "proxy has no option 'stps' (did you mean 'steps'?)"),
        (["--proxy", "{steps"], "proxy='{steps' is not a mapping of options such as"),
        (["--targets", "nowhere.jsonl"], "There is no file nowhere.jsonl"),
    ],
)
def test_mistakes(command: list[str], more: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, *more, "--dry_run"]) == 1
    assert words in capsys.readouterr().err
