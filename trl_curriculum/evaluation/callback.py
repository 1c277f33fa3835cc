"""Evaluations of the model while it trains: measured by lm-eval, and without a trace in what comes after."""

import copy
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from ..disk.main_process import on_main_process
from ..registry import make_options
from .index import find_tasks
from .measure import Score, check_model, load_tasks, measure, quiet, read_scores
from .settings import LiveSettings


PREFIX = "lm_eval"
SHARE = f"{PREFIX}/share_of_time"


class LiveTasks:
    """
    The tasks that a model is evaluated on while it trains, loaded in the main process.

    Must be made by all processes; mistakes in options, names and rows are found here.

    Args:
        spec (`dict` or [`LiveSettings`]):
            `{"tasks": ["gsm8k"], "every": 50, "limit": 100}`.
    """

    def __init__(self, spec: dict[str, Any] | LiveSettings) -> None:
        self.settings = spec if isinstance(spec, LiveSettings) else make_options(LiveSettings, spec, PREFIX)
        self.loaded: dict[str, Any] = {}
        on_main_process(self._load)

    def _load(self) -> None:
        self.loaded = load_tasks(self.settings, find_tasks(self.settings.tasks, self.settings.include_path))


class LMEvalCallback(TrainerCallback):
    """
    Evaluates the live model on tasks of lm-eval every so many optimizer steps, and after the last one.

    It logs `lm_eval/<task>` with `lm_eval/<task>_stderr` (further metrics of a task as `lm_eval/<task>/<metric>`), and
    `lm_eval/share_of_time`, the share of the time since training began that evaluations took. Random states, modes of
    modules and the tokenizer are afterwards as they were. The main process evaluates and the others wait, since it
    holds the whole model; results are in `state.log_history`, and so in checkpoints: a resume repeats none and lacks
    none.

    Args:
        trainer ([`~transformers.Trainer`]):
            Whose model it is: one of ours, or of TRL's.
        lm_eval (`dict`, [`LiveSettings`] or [`LiveTasks`]):
            The tasks and how they are asked.

    Example:

    ```python
    trainer.add_callback(LMEvalCallback(trainer, {"tasks": ["gsm8k"], "every": 100, "limit": 200}))
    ```
    """

    def __init__(self, trainer: Any, lm_eval: dict[str, Any] | LiveSettings | LiveTasks) -> None:
        self.trainer = trainer
        refuse_sharded(trainer)
        self.tasks = lm_eval if isinstance(lm_eval, LiveTasks) else LiveTasks(lm_eval)
        self.settings = self.tasks.settings
        self._began, self._spent = time.monotonic(), 0.0
        on_main_process(lambda: self._on_model(lambda lm: check_model(lm, self.tasks.loaded, self.settings)))

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._began, self._spent = time.monotonic(), 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.settings.every and not control.should_training_stop:
            return
        logs = on_main_process(self._logs)
        due = control.should_log
        Trainer.log(self.trainer, logs)  # TRL's own would empty its metrics of the steps since it logged last
        control.should_log = due  # a log that is due at this step comes still

    def _logs(self) -> dict[str, float]:
        began = time.monotonic()
        scores = read_scores(self._on_model(lambda lm: measure(lm, self.tasks.loaded, self.settings)))
        now = time.monotonic()
        self._spent += now - began
        return as_logs(scores) | {SHARE: self._spent / (now - self._began)}

    def _on_model(self, work: Any) -> Any:
        """Calls `work` with lm-eval's view of the model."""
        from lm_eval.models.huggingface import HFLM

        trainer, args = self.trainer, self.trainer.args
        precision = "bfloat16" if args.bf16 else "float16" if args.fp16 else None
        tokenizer = copy.deepcopy(getattr(trainer.processing_class, "tokenizer", trainer.processing_class))
        with untouched(trainer.model):
            with quiet():
                lm = HFLM(
                    pretrained=trainer.model,
                    tokenizer=tokenizer,
                    batch_size=self.settings.batch_size,
                    mixed_precision_dtype=precision,
                )
            return work(lm)


def as_logs(scores: list[Score]) -> dict[str, float]:
    """What is logged: the first metric of a task under the task's name, the others under theirs."""
    logs: dict[str, float] = {}
    for one in scores:
        key = f"{PREFIX}/{one.task}"
        key = key if key not in logs else f"{key}/{one.metric}"
        logs[key] = one.value
        if not math.isnan(one.stderr):
            logs[f"{key}_stderr"] = one.stderr
    return logs


def evaluations(log_history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a log that evaluations while training have written."""
    return [row for row in log_history if SHARE in row]


def refuse_sharded(trainer: Any) -> None:
    """Refuses a model of which each process holds a part."""
    plugin = getattr(trainer.accelerator.state, "deepspeed_plugin", None)
    how = "FSDP" if trainer.is_fsdp_enabled else "ZeRO-3" if getattr(plugin, "zero_stage", 0) == 3 else None
    if how is not None:
        raise ValueError(
            f"lm_eval evaluates the whole model in one process, and under {how} each holds a part of it: leave it "
            "out, and evaluate checkpoints with `trl-curriculum eval --checkpoints all`."
        )


@contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """Puts back random states of Python, NumPy and torch, and which modules train."""
    modes = [(module, module.training) for module in model.modules()]
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = sorted({p.device.index for p in model.parameters() if p.device.type == "cuda"})
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
