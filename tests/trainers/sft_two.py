"""What two processes do together, one part after the other in the same two; test_sft_ranks.py looks at it."""

import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from harness import PACKED, sft_run, sft_trainer, weights
from matrix import CELLS, run_cell


PROBED: dict[str, Any] = {"curriculum": {"evo_curate": {"measure": "probe", "refresh_steps": 2}}}
# The same device batches in one step, whether one process makes all of them or two share them.
RUNS: dict[str, dict[str, Any]] = {
    "padded": PROBED | {"probe": {"loss": {"batch_tokens": 100}}},
    "packed": PACKED | {"curriculum": {"evo_curate": {"refresh_steps": 2}}, "max_steps": 6},
    "token budget": PACKED | {"max_tokens": 700, "max_steps": -1},
    "streamed": {
        "train_dataset": {name: tiny.sft_dataset(20, seed=k).to_iterable_dataset() for k, name in enumerate("ab")},
        "curriculum": {"mixture": {"weights": {"a": 2, "b": 1}}},
    },
}
SAVED: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1}


def report(folder: Path, run: Any) -> None:
    torch.save(weights(run), folder / f"weights_{run.accelerator.process_index}.pt")
    logged = [entry for entry in run.state.log_history if "loss" in entry]
    shown = {
        "rows": [part.tolist() for _, part in run.history().groupby("step")["row"]],
        "draws": run.history()["draw"].tolist(),
        "row_loss": run.history()["loss"].tolist(),
        "seen_loss": [float(value) for value in getattr(run.curriculum, "loss", [])],
        **{key: [entry[key] for entry in logged] for key in ("loss", "num_tokens", "learning_rate")},
    }
    (folder / f"shown_{run.accelerator.process_index}.json").write_text(json.dumps(shown))


def together(name: str) -> Callable[[Path], None]:
    return lambda folder: report(folder, sft_run(folder, gradient_accumulation_steps=2, **SAVED | RUNS[name]))


def resumed(folder: Path) -> None:
    checkpoint = str(folder.parent / "packed" / "checkpoint-3")
    report(folder, sft_run(folder, checkpoint, gradient_accumulation_steps=2, **RUNS["packed"]))


def diverged(folder: Path) -> None:
    run = sft_trainer(folder, curriculum="mixture", arms="arm")
    run.curriculum.rng = np.random.default_rng(int(os.environ["RANK"]))
    try:
        run.train()
    except RuntimeError as error:
        assert "The processes drew different rows: their curricula have diverged" in str(error)
    else:
        raise AssertionError("processes that drew differently were not noticed")


def parts(model_path: str) -> dict[str, Callable[[Path], Any]]:
    cells = {
        "-".join(cell[:4]): lambda folder, cell=cell: run_cell(folder, model_path, cell)
        for cell in CELLS
        if cell[-1] == 2
    }
    return cells | {name: together(name) for name in RUNS} | {"resumed": resumed, "diverged": diverged}


def main() -> None:
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    for name, part in parts(options["model_path"]).items():
        here = folder / name
        here.mkdir(exist_ok=True)
        try:
            part(here)
        except BaseException:
            (here / f"error_{os.environ['RANK']}").write_text(traceback.format_exc())
            os._exit(1)  # without waiting for the other process
        (here / f"done_{os.environ['RANK']}").touch()


if __name__ == "__main__":
    main()
