"""Runs of the tiny model, in this process or as processes of their own."""

import json
import os
import runpy
import sys
from collections.abc import Callable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from commands import Done, Fork
from filelock import FileLock
from processes import together
from transformers import TrainerCallback

from trl_curriculum import (
    CurriculumGRPOConfig,
    CurriculumGRPOTrainer,
    CurriculumSFTConfig,
    CurriculumSFTTrainer,
    Feedback,
)
from trl_curriculum.curricula import SEC, ArmCurriculum, Curriculum, Draw, EVOCurate
from trl_curriculum.curricula.evo_curate import EVOCurateCurriculum
from trl_curriculum.disk.state import write_state


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
        "curriculum": {"sec": {"tau": 0.3}},
        "arms": "arm",
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
    arguments |= curriculum_argument(changes)
    others = ("rollout_func", "tools", "rollouts", "shaping", "callbacks")
    for name in ("eval_dataset", "peft_config", "quantization_config", *others):
        if name in changes:
            arguments[name] = changes.pop(name)
    return CurriculumGRPOTrainer(args=config(output_dir, **changes), **arguments)


def curriculum_argument(changes: dict[str, Any]) -> dict[str, Any]:
    """Takes a method that is no spec out of the changes: classes and objects are given to the trainer."""
    return {} if isinstance(changes.get("curriculum", ""), str | dict) else {"curriculum": changes.pop("curriculum")}


SFT: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "per_device_train_batch_size": 4,
    "max_steps": 4,
    "learning_rate": 1e-2,
    "report_to": "none",
    "save_strategy": "no",
    "logging_steps": 1,
    "disable_tqdm": True,
    "curriculum": "uniform",
}
PADDING_FREE: dict[str, Any] = {"padding_free": True, "max_length": None}
PACKED: dict[str, Any] = {"packing": True, "max_length": 32, "per_device_train_batch_size": 2}


def sft_trainer(output_dir: Path, **changes: Any) -> CurriculumSFTTrainer:
    """A trainer of the tiny model; `changes` go to the trainer where it has such an argument, else to the config."""
    arguments: dict[str, Any] = {
        "model": changes.pop("model", None) or tiny.model(),
        "train_dataset": changes.pop("train_dataset") if "train_dataset" in changes else tiny.sft_dataset(),
        "processing_class": changes.pop("processing_class", None) or tiny.tokenizer(),
    }
    for name in (
        "eval_dataset",
        "peft_config",
        "quantization_config",
        "data_collator",
        "optimizers",
        "formatting_func",
        "shaping",
        "callbacks",
    ):
        if name in changes:
            arguments[name] = changes.pop(name)
    arguments |= curriculum_argument(changes)
    options = SFT | {"output_dir": str(output_dir)} | changes
    return CurriculumSFTTrainer(args=CurriculumSFTConfig(**options), **arguments)


def sft_run(output_dir: Path, resume: Any = None, **changes: Any) -> CurriculumSFTTrainer:
    run = sft_trainer(output_dir, **changes)
    run.train(resume_from_checkpoint=resume)
    return run


def plain_forward(model: Any, ids: list[int], trained: list[bool]) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses and entropies of one sequence's trained tokens, by a forward of it alone and the textbook's formulas."""
    was_training = model.training
    model.train()  # there is no dropout, and in eval mode bitsandbytes repacks its weights on a CPU
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0, :-1].float().log_softmax(-1)
    model.train(was_training)
    kept = torch.tensor(trained[1:])
    return -log_p[torch.arange(len(ids) - 1), ids[1:]][kept], -(log_p.exp() * log_p).sum(-1)[kept]


class Witness(TrainerCallback):
    """
    Knows, independently of the trainer, what each step should show: before a step it scores every row of the user's
    dataset by a plain forward, and it writes down the sequences that the training forwards were given.
    """

    def __init__(self, run: CurriculumSFTTrainer, rows: Any) -> None:
        self.run = run
        self.tokens = [tiny.sft_tokens(row) for row in rows]
        self.scores: list[list[tuple[torch.Tensor, torch.Tensor]]] = []  # of every row before every step
        self.given: list[list[list[int]]] = []  # sequences of every step
        run.add_callback(self)
        run.model.register_forward_pre_hook(self._look, with_kwargs=True)

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.scores.append([plain_forward(self.run.model, *row) for row in self.tokens])
        self.given.append([])

    def _look(self, module: Any, args: Any, batch: dict[str, Any]) -> None:
        if not batch.get("fused_lm_head") or not module.training:
            return
        ids = batch["input_ids"]
        if "attention_mask" in batch:
            self.given[-1] += [
                row[mask.bool()].tolist() for row, mask in zip(ids, batch["attention_mask"], strict=True)
            ]
        else:
            ends = batch["cu_seq_lens_q"].tolist()
            self.given[-1] += [ids[0, begin:end].tolist() for begin, end in pairwise(ends)]

    def check(self, tolerance: float = 1e-5, loss_type: str = "nll", process: int = 0, processes: int = 1) -> None:
        """Every row of the history was given to the model and showed the loss and the entropy that it has."""
        history = self.run.history()
        assert len(self.given) == self.run.state.global_step == history["step"].nunique()
        assert len(history) == history["draw"].nunique()
        logged = [entry["loss"] for entry in self.run.state.log_history if "loss" in entry]
        for step, shown in history.groupby("step"):
            given, rows = self.given[step], shown["row"].tolist()
            per_process = {tuple(tokens) for tokens in given}
            expected = [self.tokens[row][0] for row in rows]
            if processes == 1:
                assert given == expected, "other sequences were trained on than the history says, or in another order"
            else:  # each process takes neighbouring rows
                begin = expected.index(given[0])
                assert given == expected[begin : begin + len(given)] and (begin == 0) == (process == 0), per_process
            scores = [self.scores[step][row] for row in rows]
            np.testing.assert_allclose(shown["loss"], [loss.mean() for loss, _ in scores], atol=tolerance)
            np.testing.assert_allclose(shown["entropy"], [entropy.mean() for _, entropy in scores], atol=tolerance)
            assert shown["length"].tolist() == [sum(self.tokens[row][1][1:]) for row in rows]
            token = torch.cat([loss for loss, _ in scores])
            token = token * (-token).exp() if loss_type == "dft" else token
            assert abs(logged[step] - token.mean().item()) < tolerance, "the loss that was trained on is another"


def weights(of: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in of.model.parameters()])


class Recording(Curriculum):
    """Writes down what a curriculum drew and observed, in order."""

    @cached_property
    def events(self) -> list[Draw | Feedback]:
        return []

    def select(self, n: int, progress: float = 0.0) -> Draw:
        draw = super().select(n, progress)
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


class Recorder(SEC):
    name = "recorder"


class RecorderCurriculum(Recording, ArmCurriculum, of=Recorder):
    """[`Recorder`] over a pool."""


class RowRecorder(EVOCurate):
    name = "row_recorder"


class RowRecorderCurriculum(Recording, EVOCurateCurriculum, of=RowRecorder):
    """[`RowRecorder`] over a pool."""


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


LIMIT = 900  # seconds that a process may take: generous, for only one that hangs shall meet it


def command(output_dir: Path, processes: int, changes: dict[str, Any], program: str) -> list[str]:
    """A program under torchrun."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    return [*launcher, program, str(output_dir), json.dumps(changes)]


def begin(output_dir: Path, program: str = __file__, **changes: Any) -> Fork:
    """A program in a process of its own, without its imports."""

    def body() -> None:
        sys.argv = [program, str(output_dir), json.dumps(changes)]
        runpy.run_path(program, run_name="__main__")

    return Fork(body, output_dir)


def launch(output_dir: Path, processes: int = 1, program: str = __file__, **changes: Any) -> Done:
    """The same in one process or several, as torchrun would start them; the first that failed says how it ended."""
    if processes == 1:
        return begin(output_dir, program, **changes).wait(LIMIT)

    def body(rank: int) -> None:
        sys.argv = [program, str(output_dir), json.dumps(changes)]
        runpy.run_path(program, run_name="__main__")

    ended = together(body, output_dir, processes, LIMIT)
    return next((one for one in ended if one.code), ended[0])


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Any]) -> Path:
    """A folder that `make` fills once for all pytest-xdist workers, whose own groups do not work with pytest 9.2."""
    root = factory.getbasetemp()
    folder = (root.parent if "PYTEST_XDIST_WORKER" in os.environ else root) / name
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            folder.mkdir()
            make(folder)
    return folder


def result(output_dir: Path, rank: int = 0) -> dict[str, Any]:
    return json.loads((output_dir / f"result_{rank}.json").read_text())


def train(output_dir: Path, resume: Any = "auto", **changes: Any) -> None:
    """A GRPO run that leaves what it drew, observed and learned in its folder."""
    run = trainer(output_dir, curriculum=Recorder(tau=0.3), **changes)
    run.train(resume_from_checkpoint=resume)
    assert isinstance(run.curriculum, RecorderCurriculum)
    history = run.history()
    rank = run.accelerator.process_index
    shown = {
        "rows": [draw.row.tolist() for draw in run.curriculum.draws],
        "history": history[["draw", "row", "probability", "reward"]].to_numpy().tolist(),
        "weights": run.model.__class__.__name__,
        "q": run.curriculum.belief().mean.tolist(),
    }
    torch.save(weights(run), output_dir / f"weights_{rank}.pt")
    observed = {str(i): {"row": f.row, "draw": f.draw, "step": f.step, "reward": f.reward, "advantage": f.advantage}
            for i, f in enumerate(run.curriculum.feedbacks)}  # fmt: skip
    write_state(output_dir / f"feedback_{rank}", observed)
    (output_dir / f"result_{rank}.json").write_text(json.dumps(shown, default=np.ndarray.tolist))


if __name__ == "__main__":
    train(Path(sys.argv[1]), **json.loads(sys.argv[2]))
