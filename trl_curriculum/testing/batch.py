"""One batch in which everything occurs that shapers and rollout methods meet, and what a trainer is to a shaper."""

from copy import copy
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch

from ..pool import Pool
from ..shaping import SHAPING
from ..signals import Rollouts
from ..trainers.late_entropy import DRAW, ROW
from ..trainers.shaping import ENTROPY, Shaping


END_OF_THINKING = 20


class Attends(torch.nn.Module):
    """A layer that pays the attention that it is told to pay."""

    def forward(self, weights: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, weights


class Model(torch.nn.Module):
    """What a model is to the frame: whether it is trained, and a layer with attention."""

    can_record_outputs: ClassVar[dict[str, Any]] = {"attentions": Attends}

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attends()


def trainer(**args: Any) -> Any:
    """What a trainer is to the frame."""
    defaults = {
        "loss_type": "dapo",
        "epsilon": 0.2,
        "epsilon_high": None,
        "importance_sampling_level": "token",
        "gradient_accumulation_steps": 8,
        "max_completion_length": 7,
    }
    return SimpleNamespace(
        accelerator=SimpleNamespace(num_processes=1, process_index=0, device=torch.device("cpu")),
        args=SimpleNamespace(**(defaults | args)),
        current_gradient_accumulation_steps=1,
        model=Model(),
        host=SimpleNamespace(progress=lambda: 0.25),
        pool=Pool(10),
        processing_class=SimpleNamespace(
            unk_token_id=0, convert_tokens_to_ids=lambda token: END_OF_THINKING if token == "</think>" else 0
        ),
        state=SimpleNamespace(global_step=3),
        _step=7,
    )


def shaping(*specs: Any, **args: Any) -> Shaping:
    """The frame of some shapers in a trainer with these arguments."""
    return Shaping(SHAPING.make_all(list(specs)), trainer(**args), seed=0)


@dataclass
class Batch:
    """Six groups of four rollouts of up to seven tokens; the first is solved, the second failed."""

    reward: Any = None
    texts: list[str] = field(default_factory=list)
    n: int = 24

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        if self.reward is None:
            self.reward = rng.integers(0, 2, self.n).astype(float)
            self.reward[:8] = np.repeat([1.0, 0.0], 4)
        self.row, self.draw = np.repeat([3, 1, 4, 1, 5, 9], 4), np.repeat(np.arange(6), 4)
        self.length = rng.integers(1, 8, self.n)
        self.texts = [f"so it is {answer}" for answer in rng.integers(0, 3, self.n)]
        self.mask = torch.as_tensor(np.arange(7) < self.length[:, None]).long()
        self.logp = torch.as_tensor(-rng.exponential(1.5, (self.n, 7)), dtype=torch.float32)
        self.old_logp = self.logp + torch.as_tensor(rng.normal(0, 0.1, (self.n, 7)), dtype=torch.float32)
        self.entropy = torch.as_tensor(rng.uniform(0, 4, (self.n, 7)), dtype=torch.float32)
        self.ids = torch.as_tensor(rng.integers(3, 40, (self.n, 7)))
        self.ids[:, 1] = END_OF_THINKING
        self.prompt_mask = torch.as_tensor(np.arange(3) >= rng.integers(0, 3, self.n)[:, None]).long()
        seen = torch.cat([self.prompt_mask, self.mask], 1).bool()[:, None, None, :] & torch.ones(10, 10).bool().tril()
        scores = torch.as_tensor(rng.normal(0, 2, (self.n, 2, 10, 10)), dtype=torch.float32)
        self.attention = scores.masked_fill(~seen, -torch.inf).softmax(-1).nan_to_num()  # of two heads

    def surer(self) -> "Batch":
        other = copy(self)
        other.entropy = self.entropy / 2
        return other

    def permuted(self, order: Any) -> "Batch":
        other = Batch(self.reward[order])
        names = ("row", "draw", "length", "mask", "logp", "old_logp", "entropy", "ids", "prompt_mask", "attention")
        for name in names:
            setattr(other, name, getattr(self, name)[order])
        other.texts = [self.texts[k] for k in order]
        return other

    def padded(self) -> "Batch":
        other = copy(self)
        for name, value in (("mask", 0), ("logp", -7.0), ("old_logp", -3.0), ("entropy", 50.0), ("ids", 2)):
            wider = torch.nn.functional.pad(getattr(self, name), (0, 3), value=value)
            setattr(other, name, wider)
        other.attention = torch.nn.functional.pad(self.attention, (0, 3, 0, 3))
        return other

    @property
    def rollouts(self) -> Rollouts:
        names = {"right": self.reward, "half": self.reward / 2}
        seen = Rollouts(
            self.row, self.draw, 3, reward=self.reward, advantage=np.zeros(self.n), length=self.length,
            rewards=names, progress=0.25,
        )  # fmt: skip
        advantage = seen.advantages_of(self.reward).astype(np.float32).astype(float)
        return Rollouts(**(vars(seen) | {"advantage": advantage}))

    @property
    def output(self) -> dict[str, Any]:
        return {
            "prompt_mask": self.prompt_mask,
            "completion_ids": self.ids,
            "completion_mask": self.mask,
            "advantages": torch.as_tensor(self.rollouts.advantage, dtype=torch.float32),
            "old_per_token_logps": self.old_logp,
            ROW: torch.as_tensor(self.row),
            DRAW: torch.as_tensor(self.draw),
        }

    def shape_rollouts(self, frame: Shaping) -> np.ndarray:
        """Advantages of the rollouts, by the frame."""
        frame.read_off = {}
        frame.read(self.texts)
        output = self.output | frame.read_off | {ENTROPY: self.entropy}
        frame.shape_rollouts(output, self.rollouts)
        assert set(output) == set(self.output), "what was measured is left in the batch"
        return output["advantages"].numpy()

    def train(self, frame: Shaping, inputs: dict[str, Any] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Advantages that TRL's loss sees, `(rollouts, tokens)`, and the loss, by the frame."""
        logp, entropy = self.logp.clone().requires_grad_(), self.entropy.clone().requires_grad_()
        seen = {}

        def forward(model: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor, None]:
            model.attention(self.attention)
            return logp, entropy, None

        def compute(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
            frame.forward(forward, model)
            advantage = inputs["advantages"]
            seen["advantage"] = advantage if advantage.dim() > 1 else advantage[:, None].expand(logp.shape)
            mask = inputs["completion_mask"]
            return -(seen["advantage"] * logp * mask).sum() / mask.sum().clamp(min=1)

        loss = frame.loss(compute, frame.trainer.model, inputs or self.output)
        return seen["advantage"], loss
