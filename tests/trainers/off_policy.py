"""Steps of runs in which rollouts of older models stand beside fresh ones, and their gradients by hand."""

from typing import Any

import torch
from transformers import TrainerCallback


class Steps(TrainerCallback):
    """Weights before each step, its gradient, and the rollouts that it is made of: one device batch a step."""

    def __init__(self, run: Any) -> None:
        self.run, self.weights, self.gradients, self.batches = run, [], [], []
        run.add_callback(self)

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.weights.append({name: value.clone() for name, value in self.run.model.state_dict().items()})

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.gradients.append(torch.cat([p.grad.flatten() for p in self.run.model.parameters()]))
        self.batches.append(dict(self.run._buffered_inputs[0]))


def logps(model: Any, under: dict[str, torch.Tensor], batch: dict[str, Any]) -> torch.Tensor:
    """Log-probabilities of completions under some weights, from plain logits."""
    model.load_state_dict(under)
    tokens = batch["completion_ids"]
    logits = model(
        input_ids=torch.cat([batch["prompt_ids"], tokens], 1),
        attention_mask=torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
    ).logits[:, -tokens.shape[1] - 1 : -1]
    return logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]


def check_gradient(model: Any, steps: Steps, k: int) -> torch.Tensor:
    """Makes sure that step k has PPO's gradient, from plain logits; returns the ratios of the old rollouts' tokens."""
    batch = steps.batches[k]
    logp, mask = logps(model, steps.weights[k], batch), batch["completion_mask"].bool()
    old = batch["old_per_token_logps"]
    is_old = ~old[:, 0].isnan()
    assert is_old.any()
    ratio = (logp - torch.where(is_old[:, None], old, logp.detach())).exp()
    advantage = batch["advantages"][:, None]
    assert batch["num_items_in_batch"] == mask.sum()
    loss = -torch.min(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)[mask].sum() / mask.sum()
    gradient = torch.cat([x.flatten() for x in torch.autograd.grad(loss, list(model.parameters()))])
    torch.testing.assert_close(steps.gradients[k], gradient, atol=1e-6, rtol=1e-4)
    return ratio[is_old][mask[is_old]].detach()
