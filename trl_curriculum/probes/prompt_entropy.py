"""How uncertain a model is about a prompt's own tokens: one forward, and no token is generated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..lm.entropy import aggregate
from ..registry import option
from ..signals import FloatArray
from .base import PROBES, Probe
from .scores import Scores, score_prompts


@PROBES.add("prompt_entropy", paper="arXiv 2603.25184")
@dataclass(frozen=True)
class PromptEntropy(Probe):
    r"""
    The uncertainty of a model while it reads a prompt: the mean entropy of its next-token distributions.

    With x a prompt of T tokens as the rollouts have it, chat template included,

    $$ H(x) = \frac1T \sum_{t=1}^{T} H\big(p(\cdot \mid x_1 \dots x_t)\big), $$

    the last of which is that of the answer's first token. It costs one forward over the prompt by the model that is
    trained, with a vLLM beside it too: that engine is not asked, since it returns no whole distributions of prompts.

    Rows that share a template share its tokens' entropies, which draws their scores together. The paper is known here
    by its abstract: that all tokens count, the last position included, is our reading.

    Source: HIVE, Wu et al. 2026, arXiv 2603.25184.
    """

    token_share: float = option(
        1.0,
        "Share of the tokens that count, those with the largest entropies, one at least; 1 is the mean.",
        "ours",
        above=0,
        most=1,
    )
    unit: Literal["bits", "nats"] = option("nats", "Unit of the score.")
    chat_template: bool | None = option(
        None,
        "Whether the question goes through the chat template, as the rollouts do; default: where the dataset is "
        "conversational.",
    )

    def text_before(self) -> str:
        """Nothing: the prompt is what it is."""
        return ""

    def score(self, entropies: FloatArray) -> float:
        """Score of a prompt from its tokens' entropies in nats, shape `(T,)`."""
        value = aggregate(entropies, self.token_share)
        return value / float(np.log(2)) if self.unit == "bits" else value


def prompt_entropy(
    prompts: list[list[int]],
    model: Any,
    spec: PromptEntropy,
    *,
    batch_tokens: int = 16384,
    folder: Path | None = None,
    accelerator: Any = None,
    cast_lm_head_to_fp32: bool = False,
    disable_tqdm: bool = False,
    others: bool = False,
) -> Scores:
    """
    Scores prompts by the entropy of their own tokens.

    Args:
        prompts (`list[list[int]]`):
            Token ids.
        model ([`~transformers.PreTrainedModel`]):
            What reads them; partial results of other weights are not used.
        spec ([`PromptEntropy`]):
            What is measured.
        cast_lm_head_to_fp32 (`bool`, *optional*, defaults to `False`):
            Whether logits are computed in float32, as the trainer's option of that name says.
        batch_tokens, folder, accelerator, disable_tqdm, others (*optional*):
            As in [`~trl_curriculum.probes.scores.score_prompts`].

    Raises:
        `FloatingPointError`: if not one prompt could be scored.
    """
    from ..lm.losses import fused_head, prompt_entropies  # which need TRL
    from ..lm.tap import measuring

    own = accelerator.unwrap_model(model) if accelerator is not None else model

    def measure(batch: list[list[int]]) -> FloatArray:
        entropies = prompt_entropies(model, batch, accelerator)
        return np.array([(spec.score(one), len(one)) for one in entropies])

    with measuring(model), fused_head(own, cast_lm_head_to_fp32):
        return score_prompts(
            prompts,
            measure,
            what="prompt entropy",
            key=(spec,),
            model=own,
            window=getattr(own.config.get_text_config(), "max_position_embeddings", None),
            batch_tokens=batch_tokens,
            folder=folder,
            accelerator=accelerator,
            disable_tqdm=disable_tqdm,
            others=others,
        )
