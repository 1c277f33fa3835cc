"""How uncertain a model is about its answer, read off the first tokens of a quick one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..lm.engines import Engine, Sampling, TokenEntropy
from ..lm.entropy import Missing, aggregate
from ..registry import option
from ..signals import FloatArray
from .base import PROBES, Probe
from .scores import Scores, score_prompts


QUICK_ANSWER = {
    "en": "Answer the question below in three sentences at most. If it takes reasoning, keep that as short as you can."
    "\nQuestion:\n",
    "zh": "请用最多三句话回答下面的问题。如果需要推理，请尽量简短。\n问题：\n",
}


@PROBES.add("prefix_entropy", paper="arXiv 2601.03725")
@dataclass(frozen=True)
class PrefixEntropy(Probe):
    """
    The uncertainty of a prompt: the model starts an answer, and the entropies of its first tokens are averaged.

    Source: EDCO, Pang et al. 2026, arXiv 2601.03725, and its code.
    """

    length: int = option(
        128,
        "Tokens L of the prefix; an answer that ends before is scored whole.",
        "the paper's and its code's",
        least=1,
    )
    token_share: float = option(
        0.2,
        "Share of the tokens that count, those with the largest entropies, one at least; 1 is the mean.",
        "the code's",
        above=0,
        most=1,
    )
    logprobs: int | None = option(
        None,
        "How many of the most probable tokens an entropy is computed from; default: the whole vocabulary where the "
        "engine sees it (transformers), 20 with vLLM.",
        "ours (the code: 20)",
        least=2,
    )
    missing: Missing = option(
        "renormalize",
        "What to make of the probability of all others: scale it away, or take the `lower` or `upper` bound.",
        "the code's",
    )
    unit: Literal["bits", "nats"] = option("bits", "Unit of the score.", "the code's")
    temperature: float = option(
        0.0,
        "Of the answer's sampling; 0 takes the most probable token. The entropies are the model's own at any.",
        "ours: ranks as well as one sample, without its noise (the code: .7)",
        least=0,
    )
    top_p: float = option(1.0, "Of the answer's sampling.", "ours (the code: .7)", above=0, most=1)
    samples: int = option(1, "Prefixes whose scores are averaged.", "the code's", least=1)
    quick_answer: str | None = option(
        "en",
        "What asks for a short answer, before the question: `en`, `zh` (same meaning, own words; pass the code's text "
        "for an exact run), any other text, or null for nothing.",
        "the paper's idea in our words",
    )
    chat_template: bool | None = option(
        None,
        "Whether the question goes through the chat template, as the rollouts do (a quick answer without thinking, "
        "where the template has that switch); default: where the dataset is conversational.",
        "ours (the code: false)",
    )
    seed: int = option(0, "Of the answer's sampling.", least=0)
    back_end: Literal["auto", "transformers", "vllm", "server"] = option(
        "auto",
        "What generates: `transformers`; `vllm`: GRPO's own vLLM, in SFT an engine of its own; `server`: a vLLM "
        "server that loads new weights from disk; `auto`: GRPO's vLLM where it has one, transformers otherwise.",
    )
    back_end_options: dict[str, Any] | None = option(
        None, "Options of the server, at least its `url`, or of the engine that `vllm` starts in SFT."
    )

    def check(self) -> None:
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(f"samples={self.samples} of a greedy prefix are all alike; set a temperature above 0.")
        if self.temperature == 0 and self.top_p < 1:
            raise ValueError(f"top_p={self.top_p} has no effect at temperature 0; set a temperature above 0.")
        if self.back_end == "transformers" and self.back_end_options is not None:
            raise ValueError("back_end_options have no effect with back_end 'transformers': leave them out.")

    def text_before(self) -> str:
        """What asks for a short answer."""
        return "" if self.quick_answer is None else QUICK_ANSWER.get(self.quick_answer, self.quick_answer)

    @property
    def sampling(self) -> Sampling:
        """How the prefix is sampled."""
        return Sampling(self.temperature, self.top_p, self.length)

    @property
    def token_entropy(self) -> TokenEntropy:
        """Which entropies its tokens have."""
        return TokenEntropy(self.logprobs, self.missing)

    def score(self, entropies: FloatArray) -> float:
        """Score of one prefix from its tokens' entropies in nats, shape `(T,)`; only the first L count."""
        value = aggregate(entropies[: self.length], self.token_share)
        return value / float(np.log(2)) if self.unit == "bits" else value


def prefix_entropy(
    prompts: list[list[int]],
    engine: Engine,
    spec: PrefixEntropy,
    *,
    batch_tokens: int = 16384,
    folder: Path | None = None,
    accelerator: Any = None,
    disable_tqdm: bool = False,
    others: bool = False,
) -> Scores:
    """
    Scores prompts by the entropy of a short generated prefix.

    Args:
        prompts (`list[list[int]]`):
            Token ids.
        engine ([`Engine`]):
            What generates; partial results of another, or of other weights, are not used.
        spec ([`PrefixEntropy`]):
            What is measured.
        batch_tokens, folder, accelerator, disable_tqdm, others (*optional*):
            As in [`~trl_curriculum.probes.scores.score_prompts`].

    Raises:
        `FloatingPointError`: if not one prompt could be scored.
    """

    def measure(batch: list[list[int]]) -> FloatArray:
        values = np.zeros((len(batch), 2))
        for sample in range(spec.samples):
            seeds = [spec.seed + sample] * len(batch)
            for k, one in enumerate(engine.complete(batch, spec.sampling, seeds, entropy=spec.token_entropy)):
                assert one.entropies is not None
                values[k] += spec.score(one.entropies), len(one.entropies)
        return values / [spec.samples, 1]

    return score_prompts(
        prompts,
        measure,
        what="prefix entropy",
        key=(spec, engine.identity()),
        window=engine.window,
        more=spec.length,
        batch_tokens=batch_tokens,
        folder=folder,
        accelerator=accelerator,
        disable_tqdm=disable_tqdm,
        others=others,
    )
