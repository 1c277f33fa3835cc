"""Writes gradient features, as one process or one of two; test_features_ranks.py and test_feature_faults.py look."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model

from trl_curriculum.gradients import CountSketch, GradientFeatures, Stored, write_features


Rows = list[dict[str, list[int]]]
DIMENSION = 256
BATCH_TOKENS = 24  # a batch is 1 to 4 rows


def rows(n: int = 24, seed: int = 0) -> Rows:
    """6 to 20 tokens each, the first three of them a prompt."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        ids = rng.integers(3, 40, 6 + k % 15).tolist()
        made.append({"input_ids": ids, "labels": [-100] * 3 + ids[3:]})
    return made


def model() -> Any:
    torch.manual_seed(1)
    return get_peft_model(tiny.model(), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))


class Counted(GradientFeatures):
    """Knows how many rows each forward had; stops before one more than `stop_after`, or hangs before it."""

    def __init__(self, of: Any = None, stop_after: int | None = None, hangs: Path | None = None) -> None:
        super().__init__(of if of is not None else model(), CountSketch(DIMENSION))
        self.stop_after, self.hangs = stop_after, hangs
        self.forwards: list[int] = []

    def __call__(self, input_ids: torch.Tensor, **rest: torch.Tensor) -> torch.Tensor:
        if len(self.forwards) == self.stop_after:
            if self.hangs is None:
                raise KeyboardInterrupt
            self.hangs.touch()  # says so
            time.sleep(900)
        self.forwards.append(len(input_ids))
        return super().__call__(input_ids, **rest)


def write(folder: Path, gradients: Counted, some: Rows | None = None, accelerator: Any = None) -> Stored:
    some = rows() if some is None else some
    return write_features(folder, some, gradients, "key", BATCH_TOKENS, accelerator, disable_tqdm=True)


def main() -> None:
    """Writes into the folders `write`, and begins `begin`, where each process stops after two batches."""
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(options["threads"])
    accelerator = Accelerator(cpu=True)
    forwards = {}
    for name in options.get("begin", []):
        begun = Counted(stop_after=2)
        try:
            write(folder / name, begun, accelerator=accelerator)
        except KeyboardInterrupt:
            forwards[name] = begun.forwards
    for name in options["write"]:
        whole = Counted(stop_after=options.get("hang_after"), hangs=folder / "hangs")
        write(folder / name, whole, accelerator=accelerator)
        forwards[name] = whole.forwards
    told = {"processes": accelerator.num_processes, "forwards": forwards}
    (folder / f"told_{accelerator.process_index}.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main()
