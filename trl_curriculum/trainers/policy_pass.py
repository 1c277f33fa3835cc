"""A pass of the policy over completions, without gradient: what TRL makes for itself where it trains off-policy."""

from typing import Any

import torch
from trl.models.utils import disable_gradient_checkpointing


def policy_pass(trainer: Any, output: dict[str, Any], entropies: bool = False) -> tuple[torch.Tensor, Any]:
    """
    Log-probabilities of completions under the current model, and the entropies of their tokens where asked for.

    All processes must call it, with as many rollouts each.

    Args:
        trainer ([`~trl.GRPOTrainer`]):
            Whose model it is.
        output (`dict`):
            Prompts and completions with their masks, of this process.
        entropies (`bool`, *optional*, defaults to `False`):
            Whether entropies are computed.
    """
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    mask = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    checkpointing = trainer.args.gradient_checkpointing_kwargs
    with torch.no_grad(), disable_gradient_checkpointing(trainer.model, checkpointing):
        logp, entropy, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            ids,
            mask,
            output["completion_ids"].shape[1],
            batch_size=trainer.args.per_device_train_batch_size,
            **({"compute_entropy": True} if entropies else {}),
        )
    return logp, entropy
