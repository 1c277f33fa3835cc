"""Where the prefixes of prefix entropies come from: transformers, vLLM inside a trainer, an engine of one's own."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import LogitsProcessor, LogitsProcessorList
from trl.models import unwrap_model_for_generation

from ..probes.prefix_entropy import VLLM_LOGPROBS, PrefixEntropy
from ..signals import FloatArray
from .batches import pad_ids
from .entropy import exact_entropy, truncated_entropy
from .generate import end_tokens, generates_as, own_random, padding_token, sampling_config
from .tap import measuring


class TransformersBackEnd:
    """
    Generates with a transformers model and sees the whole distribution: the entropies are exact.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            The model.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Tells which tokens pad and which end an answer.
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
    def of(cls, trainer: Any) -> "TransformersBackEnd":
        """The back end that generates with a trainer's current weights, unwrapped as for TRL's own rollouts."""
        tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)

        def during() -> AbstractContextManager[Any]:
            return unwrap_model_for_generation(
                trainer.model_wrapped,
                trainer.accelerator,
                gather_deepspeed3_params=getattr(trainer.args, "ds3_gather_for_generation", True),
                gradient_checkpointing_kwargs=trainer.args.gradient_checkpointing_kwargs,
            )

        return cls(trainer.model, tokenizer, during)

    def entropies(self, prompts: list[list[int]], spec: PrefixEntropy, seed: int) -> list[FloatArray]:
        ends = end_tokens(self.model, self.tokenizer)
        pad = padding_token(self.tokenizer, ends)
        ids, mask = pad_ids(prompts, pad, "left")
        longest, device = ids.shape[1], self.model.device
        seen = _Entropies(spec)
        config = sampling_config(spec.temperature, spec.top_p, spec.length, ends, pad)
        with self.during() as model, measuring(model), own_random(device, seed), generates_as(model, config):
            made = model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                logits_processor=LogitsProcessorList([seen]),
            )
        answer = made[:, longest:].cpu()
        ended = torch.isin(answer, torch.tensor(ends))
        length = torch.where(ended.any(1), ended.int().argmax(1) + 1, answer.shape[1])
        entropy = np.stack(seen.steps, axis=1)
        return [entropy[k, :n] for k, n in enumerate(length.tolist())]


class _Entropies(LogitsProcessor):
    """Writes down the entropy of every next-token distribution, before sampling bends it."""

    def __init__(self, spec: PrefixEntropy) -> None:
        self.spec = spec
        self.steps: list[FloatArray] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.spec.logprobs is None:
            entropy = exact_entropy(scores).cpu().numpy().astype(np.float64)
        else:
            k = min(self.spec.logprobs, scores.shape[-1])
            log_p = scores.float().log_softmax(-1).topk(k).values.double().cpu().numpy()
            entropy = truncated_entropy(log_p, scores.shape[-1], self.spec.missing)
        self.steps.append(entropy)
        return scores


class TrainerVLLMBackEnd:
    """
    Generates with the vLLM engine or server of a trainer, through its own `vllm_generation`, with current weights.

    Nothing of the training rollouts changes: what is set for a probe is set back, random numbers are a probe's own,
    and weights are synchronized as TRL would before the next rollouts, which then need not do it again.

    Args:
        trainer:
            A trainer with `vllm_generation` ([`~trl.generation.vllm_generation.VLLMGeneration`]) and
            `_last_loaded_step`.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.generation = trainer, trainer.vllm_generation
        self.name = f"vllm-{self.generation.mode}"
        config = trainer.model.config.get_text_config()
        self.vocabulary: int = config.vocab_size
        self.window: int | None = self.generation.max_model_length or getattr(config, "max_position_embeddings", None)
        if self.generation.mode == "colocate":
            self.window = self.generation.llm.model_config.max_model_len

    @contextmanager
    def awake(self) -> Iterator[None]:
        """
        Keeps an engine that sleeps between rollouts awake for a whole probe: TRL would put it to sleep after each
        batch, and give it all weights anew before the next.
        """
        generation = self.generation
        if generation.mode != "colocate" or not generation.enable_sleep_mode:
            yield
            return
        generation.sync_weights()  # which wakes it
        self.trainer._last_loaded_step = self.trainer.state.global_step
        generation.llm.wake_up(tags=["kv_cache"])
        generation.enable_sleep_mode = False
        try:
            yield
        finally:
            generation.enable_sleep_mode = True
            generation.llm.sleep(level=2)
            generation._llm_weights_sleeping = True  # TRL loads them again before the next rollouts

    def entropies(self, prompts: list[list[int]], spec: PrefixEntropy, seed: int) -> list[FloatArray]:
        check_sampling(spec, "processed_logprobs")
        top = spec.logprobs or VLLM_LOGPROBS
        if self.generation.mode == "colocate" and top > VLLM_LOGPROBS:
            raise ValueError(
                f"logprobs={top}: TRL starts the colocated vLLM with at most {VLLM_LOGPROBS}; take fewer, or a server "
                "that runs with --max-logprobs -1."
            )
        trainer = self.trainer
        if trainer.state.global_step != trainer._last_loaded_step:
            self.generation.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
        # TRL slices what a server returns by this process's number of prompts: all processes need as many.
        most = max(gather_object([len(prompts)]))
        padded = [prompts[k % len(prompts)] for k in range(most)]
        setting = {
            "max_completion_length": spec.length,
            "logprobs": top,
            "temperature": spec.temperature,
            "top_p": spec.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "structured_outputs_regex": None,
            "generation_kwargs": {"seed": seed},
        }
        with _set(self.generation, setting), own_random(trainer.accelerator.device, seed):
            _, _, log_p, _ = self.generation.generate(padded, None, num_generations=1)
        return [from_log_probs(answer, self.vocabulary, spec, top) for answer in log_p[: len(prompts)]]


@contextmanager
def _set(target: Any, values: dict[str, Any]) -> Iterator[None]:
    before = {name: getattr(target, name) for name in values}
    vars(target).update(values)
    try:
        yield
    finally:
        vars(target).update(before)


class VLLMEngineBackEnd:
    """
    Generates with a vLLM engine of one's own, for scoring without training.

    Args:
        llm (`vllm.LLM`):
            The engine; its `logprobs_mode` must give log-probabilities, not logits.
    """

    name = "vllm"

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self.config = llm.model_config
        self.vocabulary: int = self.config.get_vocab_size()
        self.window: int | None = self.config.max_model_len

    def entropies(self, prompts: list[list[int]], spec: PrefixEntropy, seed: int) -> list[FloatArray]:
        from trl.generation.vllm_generation import extract_logprobs
        from vllm import SamplingParams

        check_sampling(spec, self.config.logprobs_mode)
        top = spec.logprobs or VLLM_LOGPROBS
        if 0 <= self.config.max_logprobs < top:
            raise ValueError(
                f"logprobs={top}, but the engine returns at most {self.config.max_logprobs}: take fewer, or start it "
                "with a larger max_logprobs."
            )
        sampling = SamplingParams(
            max_tokens=spec.length, logprobs=top, temperature=spec.temperature, top_p=spec.top_p, seed=seed
        )
        answers = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], sampling, use_tqdm=False)
        return [from_log_probs(answer, self.vocabulary, spec, top) for answer in extract_logprobs(answers)[0]]


def check_sampling(spec: PrefixEntropy, logprobs_mode: str) -> None:
    """Refuses what would give the entropy of something else than the model's own distribution."""
    if not logprobs_mode.endswith("_logprobs"):
        raise ValueError(
            f"vLLM runs with logprobs_mode={logprobs_mode!r} and returns no log-probabilities: start it with "
            "--logprobs-mode processed_logprobs."
        )
    if logprobs_mode == "processed_logprobs" and (spec.temperature not in (0, 1) or spec.top_p < 1):
        raise ValueError(
            f"temperature={spec.temperature} and top_p={spec.top_p}: vLLM runs with logprobs_mode "
            "'processed_logprobs', as TRL needs it, and would return what sampling made of the model's distribution; "
            "take temperature 0, or 1 with top_p 1 (or transformers, or an engine with raw_logprobs)."
        )


def from_log_probs(log_p: list[list[float | None]], vocabulary: int, spec: PrefixEntropy, top: int) -> FloatArray:
    """Entropies of one answer's tokens from what vLLM tells of each: its top log-probabilities, `None` for NaN."""
    width = max(map(len, log_p))
    table = np.full((len(log_p), width), -np.inf)
    for t, values in enumerate(log_p):
        table[t, : len(values)] = [np.nan if value is None else value for value in values]
    return truncated_entropy(table, vocabulary, spec.missing, top)
