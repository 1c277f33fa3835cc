"""Entropy of a next-token distribution, whole or known at its top only, and of a row from that of its tokens."""

from typing import Literal

import numpy as np
import torch

from ..signals import FloatArray


Missing = Literal["renormalize", "lower", "upper"]


def exact_entropy(logits: torch.Tensor) -> torch.Tensor:
    """Entropy of softmax(logits) in nats, shape `(..., vocabulary)` to `(...)`; a logit of -inf has no part in it."""
    log_p = logits.float().log_softmax(-1)
    return -(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1)


def truncated_entropy(
    log_p: FloatArray, vocabulary: int, missing: Missing = "renormalize", top: int | None = None
) -> FloatArray:
    r"""
    Entropy of distributions of which only the most probable tokens are known, in nats.

    With m the probability that is missing, spread in an unknown way over the other tokens, none of which is more
    probable than the least probable of the known top, $p_k$:

    - `"renormalize"`: the known probabilities are scaled to sum to 1 (EDCO's code). It can lie on either side.
    - `"lower"`: as few tokens as possible share m, each with $p_k$: the smallest entropy that can be.
    - `"upper"`: all other tokens share m alike: the largest that can be.

    Args:
        log_p (`FloatArray`, shape `(tokens, k)`):
            Log-probabilities that are known, in nats and in descending order; `-inf` where there are fewer than k.
        vocabulary (`int`):
            Size of the vocabulary.
        missing (`str`, *optional*, defaults to `"renormalize"`):
            What to make of the rest.
        top (`int`, *optional*):
            How many of them are the most probable ones; a sampled token that is none of these may follow. Default: k.

    Returns:
        `FloatArray`, shape `(tokens,)`; NaN where a log-probability is NaN.
    """
    p = np.exp(log_p)
    known = np.isfinite(log_p)
    terms = np.where(known, p * np.where(known, log_p, 0), 0).sum(axis=1)
    total = p.sum(axis=1)
    if missing == "renormalize":
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = np.log(total) - terms / total
    else:
        rest = np.clip(1 - total, 0, None)
        n = np.maximum(vocabulary - known.sum(axis=1), 1)
        if missing == "upper":
            entropy = -terms - _x_log_x(rest) + rest * np.log(n)
        else:
            least = np.where(known, p, np.inf)[:, :top].min(axis=1)  # no other token is more probable
            whole = np.minimum(np.floor(np.divide(rest, least, out=np.zeros_like(rest), where=least > 0)), n)
            entropy = -terms - whole * _x_log_x(least) - _x_log_x(np.clip(rest - whole * least, 0, None))
    return np.where(np.isnan(log_p).any(axis=1), np.nan, entropy)


def _x_log_x(x: FloatArray) -> FloatArray:
    return np.where(x > 0, x * np.log(np.where(x > 0, x, 1)), 0)


def aggregate(entropy: FloatArray, share: float) -> float:
    """
    Score of a prefix: the mean of the largest `share` of its tokens' entropies, of one token at least.

    A share of 1 is the mean over all; EDCO's code takes .2. NaN where there is no token, or one without an entropy.
    """
    if len(entropy) == 0:
        return np.nan
    k = max(1, int(share * len(entropy)))
    return float(np.sort(entropy)[::-1][:k].mean()) if np.isfinite(entropy).all() else np.nan
