"""Runs whose completions depend on the prompt alone, on one process or two; test_shaping_ranks.py compares them."""

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Recorder, trainer, weights

from trl_curriculum.disk.state import write_state


OPTIONS: dict[str, Any] = {
    "max_steps": 5,
    "data_seed": 8,  # whose groups are carried over in three of the steps
    "steps_per_generation": 1,
    "rollouts": [
        {"prompt_augmentation": {"templates": ["as_is", "hashes"]}},
        {"truncate": {"alpha": 0.3, "least": 1, "right": 0.0}},
        {"refill": {"tries": 3, "carry": True}},
    ],
    "shaping": [
        {"budget": {"initial": 6, "weight": 0.5}},
        {"siren": {"coef": 0.5}},
        {"puzzlecraft": {"gamma": 0.5, "outcome": "reward"}},
    ],
    "save_strategy": "steps",
    "save_steps": 2,
}


def completions(prompts: list[str], run: Any) -> dict[str, Any]:
    """The same for the k-th rollout of a prompt in a try, whichever process makes it."""
    start = run.accelerator.process_index * len(prompts)
    made = []
    for k, prompt in enumerate(prompts, start):
        rng = np.random.default_rng([zlib.crc32(prompt.encode()), k % 4, run.state.global_step])
        made.append([*rng.integers(3, 40, rng.integers(2, 8)).tolist(), 1])
    ids = [run.processing_class(prompt, add_special_tokens=False)["input_ids"] for prompt in prompts]
    return {"prompt_ids": ids, "completion_ids": made, "logprobs": None}


def train(folder: Path, processes: int, resume: str | None = None) -> None:
    """Three groups a step, of which two processes share the second."""
    options = OPTIONS | {"per_device_train_batch_size": 12 // processes}
    run = trainer(folder, curriculum=Recorder(tau=0.3), rollout_func=completions, **options)
    trained: list[dict[str, Any]] = []
    shape = run.shaping.shape_rollouts

    def spy(output: Any, rollouts: Any) -> None:
        shape(output, rollouts)
        trained.append({name: value.numpy().copy() for name, value in output.items()})
        trained[-1].setdefault("old_per_token_logps", np.full(output["completion_ids"].shape, np.nan))
        trained[-1] |= {f"all/{name}": getattr(rollouts, name) for name in ("row", "draw", "reward", "advantage")}

    run.shaping.shape_rollouts = spy  # type: ignore[method-assign]
    run.train(resume_from_checkpoint=resume)
    run.history()
    rank = run.accelerator.process_index
    write_state(folder / f"trained_{rank}", {str(k): batch for k, batch in enumerate(trained)})
    torch.save(weights(run), folder / f"weights_{rank}.pt")
    (folder / f"draws_{rank}.json").write_text(json.dumps([draw.row.tolist() for draw in run.curriculum.draws]))


def main() -> None:
    folder = Path(sys.argv[1])
    train(folder, 2)
    train(folder / "resumed", 2, str(folder / "checkpoint-2"))


if __name__ == "__main__":
    main()
