"""EDCO in runs of a tiny model that is less indifferent than most, and in processes of their own that are killed."""

import json
import math
import os
import sys
import time
import traceback
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tiny
import torch
from harness import Recording, sft_trainer, trainer, weights

from trl_curriculum.curricula import EDCO, edco
from trl_curriculum.curricula.edco import EDCOCurriculum
from trl_curriculum.disk import partial


LENGTH = 3
PROBE: dict[str, Any] = {"length": LENGTH, "quick_answer": None}
GRPO: dict[str, Any] = {
    "curriculum": "edco",
    "probe": {"prefix_entropy": PROBE},
    "per_device_train_batch_size": 8,
    "learning_rate": 1e-2,
    "max_steps": 6,
}
SFT: dict[str, Any] = {"curriculum": "edco", "probe": {"prefix_entropy": PROBE}, "max_steps": 6, "arms": "arm"}
SAVED: dict[str, Any] = {"save_strategy": "steps", "save_steps": 1}


class Recorder(EDCO):
    """Besides, what probes and late signals showed, and when."""


class RecorderCurriculum(Recording, EDCOCurriculum, of=Recorder):
    """[`Recorder`] over a pool."""

    @cached_property
    def everything(self) -> list[tuple[Any, ...]]:
        return []

    @property
    def probes(self) -> list[Any]:
        """Rows that it asked for, by probe."""
        return [event[1] for event in self.everything if event[0] == "probe"]

    @property
    def late(self) -> list[tuple[Any, Any, Any]]:
        """Rows, draws and prefix entropies of rollouts, by optimizer step."""
        return [event[1:] for event in self.everything if event[0] == "late"]

    def select(self, n: int, progress: float = 0.0) -> Any:
        draw = super().select(n, progress)
        self.everything.append(("draw", n, progress, draw.row.tolist()))
        return draw

    def observe_probe(self, row: Any, value: Any, scores: Any = None) -> None:
        super().observe_probe(row, value, scores)
        self.everything.append(("probe", row, value, scores))

    def observe(self, feedback: Any) -> None:
        super().observe(feedback)
        self.everything.append(("feedback", feedback))

    def observe_late(self, row: Any, draw: Any, **columns: Any) -> None:
        super().observe_late(row, draw, **columns)
        (value,) = columns.values()
        self.everything.append(("late", row, draw, value))


def peaked(scale: float = 30.0, ends: float | None = None) -> Any:
    """Prefers some tokens by far, which others it is being asked about; `ends` is its liking for the end."""
    made = tiny.model()
    with torch.no_grad():
        made.lm_head.weight *= scale
        if ends is not None:
            made.lm_head.bias = torch.nn.Parameter(torch.zeros(made.lm_head.out_features))
            made.lm_head.bias[1] = ends
    return made


def letters(text: str) -> list[int]:
    return [tiny.LETTERS.index(letter) + 3 for letter in text]


def plain_score(model: Any, prompt: list[int], length: int = LENGTH) -> float:
    """Prefix entropy in bits, by plain forwards, one a token, and the textbook's formulas."""
    was_training = model.training
    model.eval()
    ids, entropies = list(prompt), []
    with torch.no_grad():
        while len(entropies) < length and (not entropies or ids[-1] != 1):
            log_p = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float().log_softmax(-1)
            entropies.append(-(log_p.exp() * log_p).sum().item() / math.log(2))
            ids.append(int(log_p.argmax()))
    model.train(was_training)
    return float(np.mean(sorted(entropies)[::-1][: max(1, int(0.2 * len(entropies)))]))


class Watch:
    """Scores all rows at the moment when a probe answers, by plain forwards with the weights of that moment."""

    def __init__(self, run: Any, prompts: list[list[int]]) -> None:
        self.seen: list[dict[str, Any]] = []
        observe = run.curriculum.observe_probe

        def look(rows: Any, value: Any, scores: Any) -> None:
            expected = np.array([plain_score(run.model, prompt) for prompt in prompts])
            self.seen.append({"step": run.state.global_step, "rows": rows, "value": value, "expected": expected})
            observe(rows, value, scores)

        run.curriculum.observe_probe = look

    def check(self, steps: list[int], top_n: int, history: Any) -> None:
        assert [each["step"] for each in self.seen] == steps
        for k, each in enumerate(self.seen):
            np.testing.assert_allclose(each["value"], each["expected"][each["rows"]], atol=1e-4)
            end = steps[k + 1] if k + 1 < len(steps) else 10**9
            drawn = history[(history["step"] >= each["step"]) & (history["step"] < end)]["row"]
            assert set(drawn) == set(np.argsort(-each["expected"])[:top_n]), f"round {k + 1}"
            counts = np.bincount(drawn)
            assert np.ptp(counts[counts > 0]) <= 1, "a row was drawn more often than another"
        moved = np.abs(self.seen[-1]["expected"] - self.seen[0]["expected"]).max()
        assert moved > 0.05, "training moved nothing, so the comparison says little"


def grpo(folder: Path, resume: Any = None, **changes: Any) -> Any:
    options = GRPO | {"curriculum": Recorder(), "train_dataset": tiny.dataset(16)} | changes
    run = trainer(folder, **{"model": peaked()} | options)
    run.train(resume_from_checkpoint=resume)
    return run


def sft(folder: Path, resume: Any = None, **changes: Any) -> Any:
    options = SFT | {"train_dataset": tiny.sft_dataset(16)} | changes
    run = sft_trainer(folder, **{"model": peaked()} | options)
    run.train(resume_from_checkpoint=resume)
    return run


# Three prompts of four rollouts on two processes: the second group straddles them; two steps a generation.
TOGETHER: dict[str, Any] = {
    "per_device_train_batch_size": 3,
    "steps_per_generation": 2,
    "gradient_accumulation_steps": 1,
    "max_steps": 6,
    "curriculum": Recorder(rounds=3, top_n=4, reprobe="uncertain"),
    "probe": {"prefix_entropy": PROBE | {"batch_tokens": 40}},
}
SFT_TOGETHER: dict[str, Any] = {
    "per_device_train_batch_size": 2,
    "curriculum": {"edco": {"rounds": 3, "top_n": 4}},
    "probe": {"prefix_entropy": PROBE | {"batch_tokens": 40}},
}
FEW = 2  # rows of each arm that are known anew before a round, where an arm has four


def report(folder: Path, run: Any) -> None:
    rank = run.accelerator.process_index
    events = getattr(run.curriculum, "everything", [])
    shown = {"events": events, "weights": weights(run), "rows": run.history()["row"].tolist()}
    torch.save(shown, folder / f"shown_{rank}.pt")


def together(root: Path) -> None:
    edco.PILOT = FEW
    for name in ("grpo", "resumed", "sft"):
        folder = root / name
        folder.mkdir(exist_ok=True)
        if name == "sft":
            report(folder, sft(folder, **SFT_TOGETHER, gradient_accumulation_steps=2))
        else:
            resume = str(root / "grpo" / "checkpoint-3") if name == "resumed" else None
            report(folder, grpo(folder, resume, **SAVED, **TOGETHER))


KILLED: dict[str, Any] = SAVED | {
    "curriculum": Recorder(rounds=2, top_n=4),
    "probe": {"prefix_entropy": PROBE | {"batch_tokens": 30}},
    "max_steps": 4,
}


def to_be_killed(folder: Path) -> None:
    """Waits in the third batch of the second round's probe."""
    partial.SAVE_EVERY_SECONDS = -1.0
    run = trainer(folder, model=peaked(), **GRPO | KILLED | {"train_dataset": tiny.dataset(16)})
    complete, steps = run.probe.engine.complete, []

    def waiting(*args: Any, **kwargs: Any) -> Any:
        steps.append(run.state.global_step)
        if steps.count(2) == 3:
            (folder / "started").touch()
            time.sleep(900)
        return complete(*args, **kwargs)

    run.probe.engine.complete = waiting
    run.train()


if __name__ == "__main__":
    here, what = Path(sys.argv[1]), json.loads(sys.argv[2])
    try:
        (together if what.get("together") else to_be_killed)(here)
    except BaseException:
        (here / f"error_{os.environ.get('RANK', '0')}").write_text(traceback.format_exc())
        os._exit(1)  # without waiting for the other process
