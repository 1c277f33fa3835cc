"""How uncertain a model is about its answer, read off the first tokens of a quick one."""

import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..disk.fingerprint import fingerprint
from ..disk.partial import by_length, measure_in_batches
from ..lm.engines import Engine, Sampling, TokenEntropy
from ..lm.entropy import Missing, aggregate
from ..registry import option
from ..signals import FloatArray, IntArray
from .base import PROBES, Probe


logger = logging.getLogger(__name__)

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


@dataclass(frozen=True)
class Scores:
    """
    What a probe found, one entry a prompt.

    Args:
        value (`FloatArray`, shape `(n,)`):
            Prefix entropies; NaN where there is none.
        tokens (`IntArray`, shape `(n,)`):
            Tokens that were generated for it; 0 where an equal prompt was scored in its place.
        prompt (`NDArray[np.uint64]`, shape `(n,)`):
            Hash of the prompt's tokens: equal prompts have the same.
        seconds (`float`):
            Time that it took, without what an interrupted probe had done before.
        missing (`dict[str, int]`):
            How many prompts have no score, by reason.
    """

    value: FloatArray
    tokens: IntArray
    prompt: NDArray[np.uint64]
    seconds: float
    missing: dict[str, int]


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

    Equal prompts are scored once. A prompt that cannot be scored gets NaN, is counted and warned of: an empty one, one
    that is too long for the engine's window, and one whose log-probabilities are not numbers.

    Args:
        prompts (`list[list[int]]`):
            Token ids.
        engine ([`Engine`]):
            What generates; partial results of another, or of other weights, are not used.
        spec ([`PrefixEntropy`]):
            What is measured.
        batch_tokens (`int`, *optional*, defaults to `16384`):
            Tokens of one batch, padding and prefixes included; at least one prompt is taken.
        folder (`Path`, *optional*):
            Where partial results are kept: a probe that is killed or fails half-way goes on from there.
        accelerator ([`~accelerate.Accelerator`], *optional*):
            Of the processes that share the work; all must have the same prompts.
        others (`bool`, *optional*, defaults to `False`):
            Whether other prompts were scored before: then it is no error that these are all empty or too long.

    Raises:
        `FloatingPointError`: if not one prompt could be scored.
    """
    start = time.monotonic()
    hashes = np.array([xxhash.xxh3_64_intdigest(np.asarray(ids, np.int64).tobytes()) for ids in prompts], np.uint64)
    length = np.array([len(ids) for ids in prompts], np.int64)
    first, copy_of = np.unique(hashes, return_index=True, return_inverse=True)[1:]
    window = engine.window if engine.window is not None else np.iinfo(np.int64).max
    scored = first[(length[first] > 0) & (length[first] + spec.length <= window)]
    found = np.full((len(prompts), 2), np.nan)
    if len(scored):
        world = accelerator.num_processes if accelerator is not None else 1

        def measure(batch: IntArray) -> FloatArray:
            ids = [prompts[k] for k in scored[batch]]
            values = np.zeros((len(ids), 2))
            for sample in range(spec.samples):
                seeds = [spec.seed + sample] * len(ids)
                for k, one in enumerate(engine.complete(ids, spec.sampling, seeds, entropy=spec.token_entropy)):
                    assert one.entropies is not None
                    values[k] += spec.score(one.entropies), len(one.entropies)
            return values / [spec.samples, 1]

        found[scored] = measure_in_batches(
            by_length(length[scored] + spec.length, batch_tokens),
            measure,
            n=len(scored),
            columns=2,
            folder=folder,
            name="prefix_entropy",
            key=fingerprint((spec, engine.identity(), batch_tokens, world, hashes)),
            desc="Prefix entropies",
            accelerator=accelerator,
            disable_tqdm=disable_tqdm,
        )
    value = found[first, 0][copy_of]
    tokens = np.zeros(len(prompts), np.int64)
    tokens[scored] = np.nan_to_num(found[scored, 1]).astype(np.int64)
    reasons = Counter(
        "empty" if n == 0 else "too long" if n + spec.length > window else "not a number"
        for n in length[~np.isfinite(value)]
    )
    if reasons:
        _tell(reasons, len(prompts), window)
    if not np.isfinite(value).any() and not (others and "not a number" not in reasons):
        raise FloatingPointError(
            f"None of {len(prompts)} prompts has a prefix entropy ({_spell(reasons)}): the longest has {length.max()} "
            f"tokens, the prefix {spec.length}, the engine's window {engine.window}; make them fit, or look for "
            "logits that are not numbers."
        )
    return Scores(value, tokens, hashes, time.monotonic() - start, dict(reasons))


def _spell(reasons: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


def _tell(reasons: Counter[str], n: int, window: int) -> None:
    logger.warning(
        "%d of %d prompts have no prefix entropy (%s%s): they come last.",
        sum(reasons.values()),
        n,
        _spell(reasons),
        f"; prompt and prefix must fit into {window} tokens" if reasons["too long"] else "",
    )
