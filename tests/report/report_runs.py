"""Runs to report on: of the tiny model, with names and texts that must stay text, and histories made by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tiny
from harness import sft_run, trainer

from trl_curriculum.report.history import FOLDER


HOSTILE = "<script>document.title = 'broken'</script><img src=x onerror=alert(1)>\x1b[31m {{ 7*7 }} '\""
ARMS = {"a": HOSTILE, "b": "</script><!--", "c": "=1+1", "d": "d"}


def tiny_runs(folder: Path) -> None:
    """A GRPO run and an SFT run, whose logs the last checkpoints hold."""
    data = tiny.dataset().map(lambda row: {"arm": ARMS[row["arm"]], "answer": f"{row['letter']} {HOSTILE}"})
    options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 5, "save_total_limit": 1, "max_steps": 15}
    trainer(folder / "grpo", train_dataset=data, per_device_train_batch_size=16, **options).train()
    sft_run(folder / "sft", arms="arm", curriculum="evo_curate", **options)


def history(output_dir: Path, file: int = 0, **columns: Any) -> pd.DataFrame:
    """Writes a history of GRPO, or of SFT where `loss` is given, with what is left out the same everywhere."""
    n = max(len(value) for value in columns.values() if not isinstance(value, str) and hasattr(value, "__len__"))
    made: dict[str, Any] = {"step": np.arange(n), "draw": np.arange(n), "row": np.arange(n), "arm": "a"}
    made |= {"probability": 0.1, "length": 2.0}
    if "loss" in columns:
        made |= {"loss": 1.0, "entropy": 0.5}
    else:
        made |= {"reward": 0.5, "advantage": 0.5, "zero_variance": False, "scored": 4, "truncated": 0.0}
    frame = pd.DataFrame(made | columns)
    folder = output_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(folder / f"draws-{file:012d}.parquet", index=False)
    return frame
