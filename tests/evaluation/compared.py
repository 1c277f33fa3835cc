"""Comparisons of the tiny model, whose cells are forks of a process that has imported everything."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
import yaml
from commands import Done, Fork, forked

from trl_curriculum.cli import main
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.evaluation import cells
from trl_curriculum.scripts.launch import run_script
from trl_curriculum.trainers.mixin import CurriculumMixin


SHARED: dict[str, Any] = {
    **{"bf16": False, "use_cpu": True, "gradient_checkpointing": False, "num_processes": 1, "arms": "arm"},
    **{"num_cpu_threads_per_process": 1, "max_steps": 3, "per_device_train_batch_size": 8, "learning_rate": 1.0e-3},
    **{"logging_steps": 1, "save_strategy": "no", "dataset_name": "prompts", "report_to": "none"},
}
GRPO = SHARED | {"reward_funcs": ["tiny.reward"], "num_generations": 4, "max_completion_length": 8}
SFT = SHARED | {
    "dataset_name": "examples",
    "max_length": 32,
    "eval_strategy": "steps",
    "eval_steps": 1,
    "eval_per_arm": True,
    "dataset_test_split": "test",
}


def write_data(folder: Path) -> None:
    """Rows of the tiny model's tasks: prompts, and examples of which some are held out."""
    (folder / "prompts").mkdir()
    (folder / "examples").mkdir()
    tiny.dataset(24).to_json(folder / "prompts" / "train.jsonl")
    tiny.sft_dataset(24).to_json(folder / "examples" / "train.jsonl")
    tiny.sft_dataset(8, seed=1).to_json(folder / "examples" / "test.jsonl")


def grid(folder: Path, **keys: Any) -> list[str]:
    """The command on a grid, which is written to a file."""
    (folder / "grid.yaml").write_text(yaml.safe_dump({"output_dir": "out"} | keys))
    return ["compare", "--config", "grid.yaml"]


class Forked:
    """A process that [`Cells`] can ask."""

    def __init__(self, fork: Fork) -> None:
        self.pid, self.code = fork.pid, None

    def poll(self) -> int | None:
        if self.code is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if done else None
        return self.code


def saved(trainer: Any) -> None:
    """Writes down that a run has saved, by its step."""
    with open(Path(trainer.args.output_dir) / "saved.txt", "a") as file:
        file.write(f"{trainer.state.global_step} ")


def compare(argv: list[str], folder: Path, when_saved: Callable[[Any], None] = saved) -> Done:
    """`trl-curriculum compare`, with forks in place of launched runs; `when_saved` is called after each checkpoint."""

    def start(command: str, recipe: Path, log: Path, kept: int, slot: int) -> Forked:
        def body() -> None:
            for number in (1, 2):
                os.dup2(os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644), number)
            save = CurriculumMixin._save_checkpoint

            def save_and_tell(self: Any, *args: Any) -> None:
                save(self, *args)
                when_saved(self)

            CurriculumMixin._save_checkpoint = save_and_tell  # type: ignore[method-assign]
            script = load_recipe(command)
            sys.argv = [str(script.__file__), "--config", str(recipe)]
            run_script(script.main, script.make_parser())

        return Forked(Fork(body, log.parent))  # type: ignore[arg-type]

    def body() -> int:
        os.chdir(folder)
        cells.Launcher = lambda jobs: start  # type: ignore[assignment, misc]
        return main(argv)

    return forked(body, folder)
