"""Runs of the tiny model, in this process or as processes of their own."""

import json
import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch

from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer, Feedback
from trl_curriculum.checkpoint import newest_first, what_is_missing
from trl_curriculum.curricula import SEC, Curriculum, Draw
from trl_curriculum.state import write_state


def config(output_dir: Path, **changes: Any) -> CurriculumGRPOConfig:
    options: dict[str, Any] = {
        "output_dir": str(output_dir),
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": 4,
        "num_generations": 4,
        "max_completion_length": 8,
        "max_steps": 4,
        "learning_rate": 1e-3,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "curriculum": "sec",
        "arm_column": "arm",
        "curriculum_kwargs": {"tau": 0.3},
    }
    return CurriculumGRPOConfig(**(options | changes))


def trainer(output_dir: Path, **changes: Any) -> CurriculumGRPOTrainer:
    """A trainer of the tiny model; `changes` go to the trainer where it has such an argument, else to the config."""
    arguments: dict[str, Any] = {
        "model": changes.pop("model", None) or tiny.model(),
        "reward_funcs": changes.pop("reward_funcs", tiny.reward),
        "train_dataset": changes.pop("train_dataset") if "train_dataset" in changes else tiny.dataset(),
        "processing_class": changes.pop("processing_class", None) or tiny.tokenizer(),
    }
    for name in ("eval_dataset", "peft_config", "quantization_config", "curriculum_instance", "rollout_func", "tools"):
        if name in changes:
            arguments["curriculum" if name == "curriculum_instance" else name] = changes.pop(name)
    return CurriculumGRPOTrainer(args=config(output_dir, **changes), **arguments)


def weights(of: CurriculumGRPOTrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.model.parameters()])


class Recorder(SEC):
    """SEC that writes down what it was asked and told, in order."""

    name = "recorder"

    @cached_property
    def events(self) -> list[Draw | Feedback]:
        return []

    def select(self, n: int) -> Draw:
        draw = super().select(n)
        self.events.append(draw)
        return draw

    def observe(self, feedback: Feedback) -> None:
        super().observe(feedback)
        self.events.append(feedback)

    @property
    def draws(self) -> list[Draw]:
        return [event for event in self.events if isinstance(event, Draw)]

    @property
    def feedbacks(self) -> list[Feedback]:
        return [event for event in self.events if isinstance(event, Feedback)]


def replay(curriculum: Curriculum, feedbacks: list[dict[str, Any]], n: int) -> list[list[int]]:
    """Rows that a curriculum draws in this process when it is fed the given feedback."""
    rows = []
    for shown in feedbacks:
        rows.append(curriculum.select(n).row.tolist())
        curriculum.observe(Feedback(**shown))
    return rows


ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "PYTHONPATH": os.pathsep.join(str(Path(__file__).parents[k]) for k in range(3)),  # this checkout first
}


def command(output_dir: Path, processes: int, changes: dict[str, Any]) -> list[str]:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, __file__, str(output_dir), json.dumps(changes)]


def launch(output_dir: Path, processes: int = 1, **changes: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(output_dir, processes, changes), env=ENVIRONMENT, capture_output=True, text=True, timeout=300
    )


def result(output_dir: Path, rank: int = 0) -> dict[str, Any]:
    return json.loads((output_dir / f"result_{rank}.json").read_text())


def main() -> None:
    output_dir, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
    resume = changes.pop("resume", any(what_is_missing(path) is None for path in newest_first(output_dir)))
    run = trainer(output_dir, curriculum_instance=Recorder, **changes)
    run.train(resume_from_checkpoint=resume)
    assert isinstance(run.curriculum, Recorder)
    history = run.history()
    rank = run.accelerator.process_index
    shown = {
        "rows": [draw.row.tolist() for draw in run.curriculum.draws],
        "history": history[["draw", "row", "probability", "reward"]].to_numpy().tolist(),
        "weights": run.model.__class__.__name__,
        "q": run.curriculum.belief().mean.tolist(),
    }
    torch.save(weights(run), output_dir / f"weights_{rank}.pt")
    told = {str(i): {"row": f.row, "draw": f.draw, "step": f.step, "reward": f.reward, "advantage": f.advantage}
            for i, f in enumerate(run.curriculum.feedbacks)}  # fmt: skip
    write_state(output_dir / f"feedback_{rank}", told)
    (output_dir / f"result_{rank}.json").write_text(json.dumps(shown, default=np.ndarray.tolist))


if __name__ == "__main__":
    main()
