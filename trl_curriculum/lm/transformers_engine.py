"""Generation with a transformers model, which sees whole distributions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForCausalLM,
    LogitsProcessor,
    LogitsProcessorList,
    StoppingCriteria,
    StoppingCriteriaList,
)
from trl.models import unwrap_model_for_generation

from ..disk.fingerprint import fingerprint
from ..signals import FloatArray
from .batches import pad_ids
from .cpu import contiguous_head
from .engines import Completion, Engine, Prompt, Sampling, TokenEntropy, encode
from .entropy import exact_entropy, truncated_entropy
from .generate import end_tokens, generates_as, length_with_end, own_random, padding_token, read, sampling_config
from .loading import MODEL, check_folder, check_weights, load_tokenizer, loading
from .tap import measuring


class TransformersEngine(Engine):
    """
    Generates a padded batch at a time, on random numbers of its own (from the first seed); entropies are exact.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            The model; its own generation config is not used, but for its end tokens.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
        during (`Callable`, *optional*):
            Makes a context manager to generate in, which gives the model, for models that must be unwrapped first.
    """

    name = "transformers"

    def __init__(
        self, model: Any, tokenizer: Any, during: Callable[[], AbstractContextManager[Any]] | None = None
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.during = during or (lambda: nullcontext(model))
        self.window: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    @classmethod
    def load(
        cls, model: str | Path, tokenizer: Any = None, trust_remote_code: bool = False, **kwargs: Any
    ) -> "TransformersEngine":
        """Loads a model by path or name, with arguments for its `from_pretrained`, such as `dtype` or `device_map`."""
        check_folder(model)
        with loading():
            loaded = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=trust_remote_code, **kwargs)
        check_weights(loaded, f"{MODEL}={str(model)!r}")
        if loaded.device.type == "cpu":
            contiguous_head(loaded)
        if tokenizer is None:
            tokenizer = load_tokenizer(model, trust_remote_code=trust_remote_code)
        return cls(loaded, tokenizer)

    @classmethod
    def of(cls, trainer: Any) -> "TransformersEngine":
        """The engine that generates with a trainer's current weights, unwrapped as for TRL's own rollouts."""
        tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)

        def during() -> AbstractContextManager[Any]:
            return unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=getattr(trainer.args, "ds3_gather_for_generation", True),
                gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
            )

        return cls(trainer.model, tokenizer, during)

    def encode(self, prompt: Prompt) -> list[int]:
        return encode(self.tokenizer, prompt)

    def complete(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        stop: Sequence[str] = (),
        entropy: TokenEntropy | None = None,
    ) -> list[Completion]:
        ends = end_tokens(self.model, self.tokenizer)
        pad = padding_token(self.tokenizer, ends)
        ids, mask = pad_ids(prompts, pad, "left")
        longest, device = ids.shape[1], self.model.device
        config = sampling_config(sampling.temperature, sampling.top_p, sampling.max_new_tokens, ends, pad)
        entropies = _Entropies(entropy) if entropy is not None else None
        with self.during() as model, measuring(model), own_random(device, seeds[0]), generates_as(model, config):
            made = model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList([entropies] if entropies is not None else []),
                stopping_criteria=StoppingCriteriaList([_Stops(self.tokenizer, stop, longest)] if stop else []),
            )
        written = made[:, longest:].tolist()
        found: list[FloatArray | None] = [None] * len(written)
        if entropies is not None:
            last = {*ends, pad} if stop else ends  # without stops padding begins behind an end
            steps = np.stack(entropies.steps, axis=1)
            found = [steps[k, : length_with_end(row, last)] for k, row in enumerate(written)]
        return [
            read(self.tokenizer, row, {*ends, pad}, stop, values) for row, values in zip(written, found, strict=True)
        ]

    def identity(self) -> str:
        return fingerprint((self.name,), self.model)


class _Entropies(LogitsProcessor):
    """Writes down the entropy of every next-token distribution, before sampling bends it."""

    def __init__(self, wanted: TokenEntropy) -> None:
        self.wanted = wanted
        self.steps: list[FloatArray] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.wanted.logprobs is None:
            entropy = exact_entropy(scores).cpu().numpy().astype(np.float64)
        else:
            k = min(self.wanted.logprobs, scores.shape[-1])
            log_p = scores.float().log_softmax(-1).topk(k).values.double().cpu().numpy()
            entropy = truncated_entropy(log_p, scores.shape[-1], self.wanted.missing)
        self.steps.append(entropy)
        return scores


class _Stops(StoppingCriteria):
    """Ends each row whose last tokens hold a stop."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], begin: int) -> None:
        self.tokenizer, self.stop, self.begin = tokenizer, stop, begin
        self.tail = max(len(one.encode()) for one in stop)  # tokens: each is one byte at least

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        tails = self.tokenizer.batch_decode(input_ids[:, max(self.begin, input_ids.shape[1] - self.tail) :])
        return torch.tensor([any(one in tail for one in self.stop) for tail in tails], device=input_ids.device)
