"""What several methods compute of the tokens of a device batch."""

from typing import Any

import torch

from ..signals import Tokens


def covariance(tokens: Tokens) -> torch.Tensor:
    """
    What each token adds to the covariance of advantage and log-probability, `(A - mean A) (log p - mean log p)`, with
    means over the tokens of the device batch; without gradient.
    """
    logp = tokens.logp.detach()
    return (tokens.advantage - tokens.mean(tokens.advantage)) * (logp - tokens.mean(logp))


def refuse_one_rollout(name: str, args: Any) -> None:
    """Refuses device batches of one rollout, whose tokens have one advantage and so no covariance."""
    if args.per_device_train_batch_size == 1:
        raise ValueError(
            f"{name} compares the advantages of a device batch, and with per_device_train_batch_size=1 all its "
            "tokens have the same: set it to 2 or more."
        )


def peaks(tokens: Tokens, quantile: float) -> torch.Tensor:
    """Which tokens have an entropy at or above that quantile of their sequence's, shape `(sequences, tokens)`."""
    entropy = tokens.entropy.detach().float()
    level = entropy.masked_fill(~tokens.mask, torch.nan).nanquantile(quantile, dim=1, keepdim=True)
    return tokens.mask & (entropy >= level)


def mean_of(value: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Mean of `value` over the tokens of each sequence that are chosen, shape `(sequences,)`; NaN where none is."""
    n = where.sum(1)
    return torch.where(n > 0, (value * where).sum(1) / n.clamp(min=1), torch.nan)
