"""Whole comparisons of the tiny model: what is written, kills, failures, and mistakes that are told before any run."""

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import altair  # noqa: F401  # or every fork would import it
import numpy as np
import pandas as pd
import pytest
import yaml
from compared import GRPO, SFT, compare, grid, saved, write_data

from trl_curriculum import read_history
from trl_curriculum.cli import main
from trl_curriculum.cli.compare import ended_in_order


METHODS: list[Any] = [
    {"sec": {"tau": 0.3}},
    {"name": "refilled", "curriculum": {"sec": {"tau": 0.3}}, "rollouts": {"refill": {"tries": 2}}},
    {"placebo": {"of": {"sec": {"tau": 0.3}}}},
]
NAMES = ["uniform", "sec", "refilled", "placebo"]
TIMELESS = ["method", "seed", "step", "trained_tokens", "generated_tokens", "discarded_tokens", "value"]


def base(tiny_path: str, **changes: Any) -> dict[str, Any]:
    return GRPO | {"model_name_or_path": tiny_path} | changes


@pytest.fixture(autouse=True)
def data(tmp_path: Path) -> None:
    write_data(tmp_path)


@pytest.fixture(scope="module")
def compared(tiny_path: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a comparison that nothing has disturbed."""
    folder = tmp_path_factory.mktemp("compared")
    write_data(folder)
    argv = grid(folder, base=base(tiny_path), methods=METHODS, seeds=[0, 1], match="generated_tokens")
    done = compare(argv, folder)
    assert done.code == 0, done.said[-3000:]
    (folder / "said.txt").write_text(done.out)
    return folder


def test_what_is_written(compared: Path) -> None:
    points = pd.read_parquet(compared / "out/results.parquet")
    sizes = points.groupby(["method", "seed"]).size().to_dict()
    assert sizes == dict.fromkeys([(name, seed) for name in NAMES for seed in (0, 1)], 3)
    ends = points.groupby(["method", "seed"]).last()
    assert (ends["generated_tokens"] == ends["trained_tokens"] + ends["discarded_tokens"]).all()
    assert ends.loc["refilled", "discarded_tokens"].min() > 0 and ends.loc["sec", "discarded_tokens"].max() == 0
    assert (points.groupby(["method", "seed"])["seconds"].diff().dropna() > 0).all()
    text = (compared / "out/comparison.md").read_text()
    assert "reward_as_uniform (reward of all draws since the last log, arms weighted as uniform has drawn them" in text
    end = ends["cost"].min()
    assert f" to {end:,.6g}, the smallest total, of " in text
    assert "With 2 pairs it is at least 0.5, so no difference can fall below .05: that takes six seeds." in text
    rows = [line for line in text.splitlines() if line.startswith("| sec ")]
    assert len(rows) == 2 and all(" seeds | " in row and row.count("[") == 2 for row in rows)
    curve = {key: (part["cost"], part["value"]) for key, part in points.groupby(["method", "seed"])}
    final = np.mean([np.interp(end, *curve["sec", seed]) for seed in (0, 1)])
    assert f"| sec | 2 | {final:.4g} |" in text
    page = (compared / "out/comparison.html").read_text()
    assert "vega" in page and "<td>refilled</td>" in page and 'src="http' not in page
    assert '<meta name="viewport" content="width=device-width' in page and page.count('<div class="wide"><table>') == 2
    assert "out/comparison.html" in (compared / "said.txt").read_text()


def test_a_cell_is_a_run_of_its_own(compared: Path, tiny_path: str) -> None:
    cell = compared / "out/refilled/seed-1"
    assert {"model.safetensors", "recipe.yaml", "log.txt", "trainer_state.json", "done.json"} <= set(os.listdir(cell))
    assert not list(cell.glob("checkpoint-*")), "the base saves none"
    made = yaml.safe_load((cell / "recipe.yaml").read_text())
    assert made["seed"] == 1 and made["rollouts"] == {"refill": {"tries": 2}} and made["arms"] == "arm"
    assert (cell / "saved.txt").read_text() == "1 2 3 "


def test_done_cells_are_left_alone(compared: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (compared / "out").rglob("seed-*/*")}
    results = (compared / "out/results.parquet").read_bytes()
    done = compare(["compare", "--config", "grid.yaml"], compared)
    assert done.code == 0, done.said[-2000:]
    assert before == {path: path.stat().st_mtime_ns for path in (compared / "out").rglob("seed-*/*")}
    assert (compared / "out/results.parquet").read_bytes() == results
    done = compare(["compare", "--config", "grid.yaml", "--metric", "rewrd"], compared)
    assert "uniform/seed-0: metric='rewrd' was not logged (did you mean 'reward'?)" in done.sentence


def test_a_comparison_that_is_killed_goes_on(compared: Path, tiny_path: str, tmp_path: Path) -> None:
    """Killed with its second cell, right after that has saved its second step."""

    def kill(trainer: Any) -> None:
        saved(trainer)
        if trainer.args.output_dir.endswith("placebo/seed-0") and trainer.state.global_step == 2:
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    argv = grid(tmp_path, base=base(tiny_path), methods=METHODS[2:], seeds=[0], match="generated_tokens")
    done = compare(argv, tmp_path, kill)
    assert done.code == -signal.SIGKILL, done.said[-3000:]
    out = tmp_path / "out"
    first = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in (out / "uniform/seed-0").glob("*.*")}
    assert out / "uniform/seed-0/done.json" in first and not (out / "placebo/seed-0/done.json").exists()
    done = compare(argv, tmp_path)
    assert done.code == 0, done.said[-3000:]
    assert first == {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in first}
    assert (out / "placebo/seed-0/saved.txt").read_text() == "1 2 3 ", "from its checkpoint"
    whole, killed = (pd.read_parquet(one / "out/results.parquet")[TIMELESS] for one in (compared, tmp_path))
    whole = whole[(whole["seed"] == 0) & whole["method"].isin(["uniform", "placebo"])]
    # Arms are weighted by uniform's draws: there were more of these
    costs = [name for name in TIMELESS if name != "value"]
    pd.testing.assert_frame_equal(whole[costs].reset_index(drop=True), killed[costs])
    undisturbed, resumed = (one / "out/placebo/seed-0" for one in (compared, tmp_path))
    pd.testing.assert_frame_equal(read_history(undisturbed), read_history(resumed))
    assert (undisturbed / "model.safetensors").read_bytes() == (resumed / "model.safetensors").read_bytes()
    text = (out / "comparison.md").read_text()
    assert "With one seed there are no intervals and no p-values" in text and "[+" not in text


def test_a_cell_that_fails_is_told(compared: Path, tmp_path: Path) -> None:
    """It would go on from a checkpoint that it cannot read."""
    shutil.copytree(compared / "out", tmp_path / "out", copy_function=os.link)
    shutil.copy(compared / "grid.yaml", tmp_path)
    (tmp_path / "out/sec/seed-1/done.json").unlink()
    (tmp_path / "out/sec/seed-1/checkpoint-2/trainer_state.json").mkdir(parents=True)
    done = compare(["compare", "--config", "grid.yaml"], tmp_path)
    assert done.code == 1, done.said[-3000:]
    assert "sec/seed-1 failed: grpo.py: " in done.err
    text = (tmp_path / "out/comparison.md").read_text()
    assert "| sec | 1 | " in text and "Without a result: sec/seed-1 (grpo.py: " in text
    assert len(pd.read_parquet(tmp_path / "out/results.parquet").groupby(["method", "seed"])) == 7


def test_another_configuration_is_refused(compared: Path, tmp_path: Path) -> None:
    shutil.copytree(compared / "out", tmp_path / "out", copy_function=os.link)
    keys = yaml.safe_load((compared / "grid.yaml").read_text())
    keys["base"]["learning_rate"] = 0.5
    done = compare(grid(tmp_path, **keys), tmp_path)
    assert "uniform/seed-0 was made with recipe.learning_rate=0.001, and now it is 0.5" in done.sentence


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"methods": ["evo_curate"]}, "evo_curate/seed-3: Curriculum 'evo_curate' as it is set up follows"),
        (
            {"methods": [{"name": "x", "armz": "level"}]},
            "x/seed-3: Unknown argument 'armz' in the config file (did you",
        ),
        ({"methods": [{"name": "x", "arms": ["levl"]}]}, "'levl' (did you mean 'level'?)"),
        ({"methods": [{"name": "x", "curriculum": "sec", "arms": None}]}, "x/seed-3: "),
        ({"methods": ["sec", "sec"]}, "Two methods are called 'sec'"),
        ({"seeds": ["a"]}, "seeds="),
        ({"base": "sec_cuntdown"}, "did you mean 'sec_countdown'?"),
        ({"num_processes": 2}, "num_processes says how a run is launched: set it in the base."),
        ({"match": "token"}, "match='token' must be one of"),
        ({"jobs": 0}, "jobs=0 must be at least 1"),
        ({"jobs": 2, "match": "time"}, "cells that run side by side slow each other; set jobs: 1."),
        ({"command": "sft", "match": "generated_tokens"}, "SFT generates nothing; match by trained_tokens."),
        ({"command": "select"}, "command='select' must be one of"),
        ({"methods": None}, "No methods: give some to compare, such as `methods: [sec, dump]`."),
        ({"method": ["sec"]}, "Unknown argument 'method' in the config file"),
        ({"simulate": "laddr"}, "simulate='laddr' (did you mean 'ladder'?) is no world"),
    ],
)
def test_mistakes_are_told_before_any_run(
    keys: dict[str, Any],
    words: str,
    tiny_path: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"base": base(tiny_path), "methods": ["sec"], "seeds": [3]} | keys
    assert main(grid(tmp_path, **{key: value for key, value in given.items() if value is not None})) == 1
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("trl-curriculum compare: ") and words in said
    assert not (tmp_path / "out").exists()


def test_a_scheduler_that_ends_it_is_as_good_as_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ended_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(600)
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_grid_is_printed(
    tiny_path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    assert main([*grid(tmp_path, base=base(tiny_path), methods=["sec"]), "--dry_run"]) == 0
    told = capsys.readouterr().out
    assert "3 methods x 5 seeds = 15 cells in out" in told and "curriculum={'placebo': {'of': 'sec'}}" in told
    assert told.count("3 optimizer steps, 3 generations, 24 rollouts") == 3 and not Path("out").exists()


def test_the_example_in_a_simulation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["compare", "--config", "compare/cpu/countdown", "--simulate", "ladder"]
    assert main([*argv, "--dry_run"]) == 0 and capsys.readouterr().out.count("simulated in ladder") == 5
    assert main(argv) == 0
    assert "competence (mean success rate on held-out rows that can be learned; more is" in capsys.readouterr().out
    made = {path.name for path in Path("Compare-Countdown-cpu/simulated-ladder").iterdir()}
    assert made == {"results.parquet", "comparison.md", "comparison.html"}


def test_sft_without_altair(tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("evaluation.comparison_page", "cli.compare"):
        monkeypatch.setattr(f"trl_curriculum.{module}.is_installed", lambda: False)
    probing = {"data_maps": {"measure": "probe", "refresh_steps": 1}}
    recipe = SFT | {"model_name_or_path": tiny_path}
    argv = grid(
        tmp_path, command="sft", base=recipe, methods=[{"placebo": {"of": probing}}], seeds=[0], match="trained_tokens"
    )
    done = compare(argv, tmp_path)
    assert done.code == 0, done.said[-3000:]
    text = (tmp_path / "out/comparison.md").read_text()
    assert "eval_loss (as logged; of several held-out sets, their mean; less is better)" in text
    assert "comparison.html takes altair and vl-convert-python: `pip install trl_curriculum[report]`." in done.out
    assert not (tmp_path / "out/comparison.html").exists()
    points = pd.read_parquet(tmp_path / "out/results.parquet")
    assert points["step"].tolist() == [1, 2, 3] * 2 and (points["seconds"] > 0).all()
    probed, plain = (part for _, part in points.groupby("method"))
    assert (probed["probe_tokens"] > 0).all() and (plain["probe_tokens"] == 0).all()
    assert (points["cost"] - points["trained_tokens"]).tolist() == pytest.approx((points["probe_tokens"] / 3).tolist())
