"""Token weights in SFT: gradients are weighed, and losses stay what they are."""

from dataclasses import replace
from typing import Any

import torch

from ..signals import Tokens
from .shaping import Shaping


class ShapedHead:
    """
    Stands for a model whose fused head's log-probabilities pass their gradient on times a weight.

    Their values do not change, so that the weight is that of a token's gradient in every `loss_type`, and the logged
    loss is that of all tokens.

    Args:
        model:
            The model, or what stands for it.
        shaping ([`Shaping`]):
            Whose shapers weigh the tokens.
        micro_step (`int`):
            Number of the device batch in this process's training.
    """

    def __init__(self, model: Any, shaping: Shaping, micro_step: int) -> None:
        self.model, self.shaping, self.micro_step = model, shaping, micro_step

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        output = self.model(*args, **kwargs)
        if not kwargs.get("fused_lm_head") or not output.label_mask.any():
            return output
        value = output.log_probs.detach()
        trainer = self.shaping.trainer
        tokens = Tokens(
            ids=kwargs["input_ids"][:, -value.shape[1] :],
            mask=output.label_mask.bool(),
            logp=value,
            entropy=output.entropy.detach(),
            advantage=torch.ones_like(value),
            step=trainer.state.global_step,
            progress=trainer.host.progress(),
            generator=self.shaping.generator(self.micro_step),
        )
        weight = self.shaping.weigh(tokens).advantage
        return replace(output, log_probs=value + weight * (output.log_probs - value))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)
