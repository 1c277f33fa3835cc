"""Generation with vLLM: an engine of one's own, and that of a trainer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object

from ..disk.fingerprint import fingerprint, weights_key
from ..signals import FloatArray
from .engines import VLLM_LOGPROBS, Completion, Engine, Prompt, Sampling, TokenEntropy, encode
from .entropy import truncated_entropy
from .generate import end_tokens, own_random, read


class VLLMEngine(Engine):
    """
    Generates with a vLLM engine of one's own, each completion on a seed of its own.

    Args:
        llm (`vllm.LLM`):
            The engine; for entropies its `logprobs_mode` must give log-probabilities, not logits.
    """

    name = "vllm"

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self.tokenizer = llm.get_tokenizer()
        self.window: int | None = llm.model_config.max_model_len

    @classmethod
    def load(cls, model: str | Path, trust_remote_code: bool = False, **kwargs: Any) -> "VLLMEngine":
        """Starts an engine for a model by path or name, with arguments for `vllm.LLM`."""
        try:
            from vllm import LLM
        except ImportError as error:
            raise ImportError("The engine vllm needs vLLM: run `pip install 'trl_curriculum[vllm]'`.") from error
        return cls(LLM(str(model), trust_remote_code=trust_remote_code, **kwargs))

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
        from vllm import SamplingParams

        options: dict[str, Any] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "stop": list(stop) or None,
        }
        if entropy is not None:
            options["logprobs"] = self._top(sampling, entropy)
        each = [SamplingParams(**options, seed=int(seed)) for seed in seeds]
        answers = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], each, use_tqdm=False)
        entropies: list[FloatArray | None] = [None] * len(answers)
        if entropy is not None:
            from trl.generation.vllm_generation import extract_logprobs

            vocabulary, top = self.llm.model_config.get_vocab_size(), options["logprobs"]
            log_p = extract_logprobs(answers)[0]
            entropies = [from_log_probs(one, vocabulary, entropy, top) for one in log_p]
        texts = [answer.outputs[0] for answer in answers]
        return [
            Completion(one.text, len(one.token_ids), one.finish_reason == "stop", values)
            for one, values in zip(texts, entropies, strict=True)
        ]

    def _top(self, sampling: Sampling, entropy: TokenEntropy) -> int:
        config = self.llm.model_config
        check_sampling(sampling, config.logprobs_mode)
        top = entropy.logprobs or VLLM_LOGPROBS
        if 0 <= config.max_logprobs < top:
            raise ValueError(
                f"logprobs={top}, but the engine returns at most {config.max_logprobs}: take fewer, or start it with "
                "a larger max_logprobs."
            )
        return top

    def identity(self) -> str:
        """By the model's name or, for a folder, its weights, and its revision."""
        config = self.llm.model_config
        return fingerprint((self.name, weights_key(config.model), getattr(config, "revision", None)))


class TrainerVLLMEngine(Engine):
    """
    Generates with the vLLM engine or server of a trainer, through its own `vllm_generation`, with current weights.

    Nothing of the training rollouts changes: settings are set back, random numbers are of its own (from the first
    seed), and weights are synchronized as TRL would before the next rollouts, which then need not do it again.

    Args:
        trainer:
            A trainer with `vllm_generation` ([`~trl.generation.vllm_generation.VLLMGeneration`]) and
            `_last_loaded_step`.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer, self.generation = trainer, trainer.vllm_generation
        self.name = f"vllm-{self.generation.mode}"
        self.tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
        config = trainer.model.config.get_text_config()
        self.vocabulary: int = config.vocab_size
        self.window: int | None = self.generation.max_model_length or getattr(config, "max_position_embeddings", None)
        if self.generation.mode == "colocate":
            self.window = self.generation.llm.model_config.max_model_len

    @contextmanager
    def awake(self) -> Iterator[None]:
        """
        Keeps an engine that sleeps between rollouts awake for many batches: TRL would put it to sleep after each, and
        give it all weights anew before the next.
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
        trainer, top = self.trainer, 0
        if entropy is not None:
            check_sampling(sampling, "processed_logprobs")
            top = entropy.logprobs or VLLM_LOGPROBS
        if self.generation.mode == "colocate" and top > VLLM_LOGPROBS:
            raise ValueError(
                f"logprobs={top}: TRL starts the colocated vLLM with at most {VLLM_LOGPROBS}; take fewer, or a server "
                "that runs with --max-logprobs -1."
            )
        if trainer.state.global_step != trainer._last_loaded_step:
            self.generation.sync_weights()
            trainer._last_loaded_step = trainer.state.global_step
        # TRL slices what a server returns by this process's number of prompts: all processes need as many.
        most = max(gather_object([len(prompts)]))
        padded = [prompts[k % len(prompts)] for k in range(most)]
        setting = {
            "max_completion_length": sampling.max_new_tokens,
            "logprobs": top,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "structured_outputs_regex": None,
            "generation_kwargs": {"seed": int(seeds[0])} | ({"stop": list(stop)} if stop else {}),
        }
        with _set(self.generation, setting), own_random(trainer.accelerator.device, seeds[0]):
            _, written, log_p, _ = self.generation.generate(padded, None, num_generations=1)
        ends = set(end_tokens(trainer.model, self.tokenizer))
        completions = []
        for k in range(len(prompts)):
            found = from_log_probs(log_p[k], self.vocabulary, entropy, top) if entropy is not None else None
            last = ends.intersection(written[k][-1:])  # vLLM wrote nothing behind what it takes for an end
            completions.append(read(self.tokenizer, written[k], last, stop, found))
        return completions

    def identity(self) -> str:
        return fingerprint((self.name,), self.trainer.model)


@contextmanager
def _set(target: Any, values: dict[str, Any]) -> Iterator[None]:
    before = {name: getattr(target, name) for name in values}
    vars(target).update(values)
    try:
        yield
    finally:
        vars(target).update(before)


def check_sampling(sampling: Sampling, logprobs_mode: str) -> None:
    """Refuses what would give the entropy of something else than the model's own distribution."""
    if not logprobs_mode.endswith("_logprobs"):
        raise ValueError(
            f"vLLM runs with logprobs_mode={logprobs_mode!r} and returns no log-probabilities: start it with "
            "--logprobs-mode processed_logprobs."
        )
    if logprobs_mode == "processed_logprobs" and (sampling.temperature not in (0, 1) or sampling.top_p < 1):
        raise ValueError(
            f"temperature={sampling.temperature} and top_p={sampling.top_p}: vLLM runs with logprobs_mode "
            "'processed_logprobs', as TRL needs it, and would return what sampling made of the model's distribution; "
            "take temperature 0, or 1 with top_p 1 (or transformers, or an engine with raw_logprobs)."
        )


def from_log_probs(log_p: list[list[float | None]], vocabulary: int, wanted: TokenEntropy, top: int) -> FloatArray:
    """Entropies of one completion's tokens from what vLLM tells of each: its top log-probabilities, `None` for NaN."""
    width = max(map(len, log_p))
    table = np.full((len(log_p), width), -np.inf)
    for t, values in enumerate(log_p):
        table[t, : len(values)] = [np.nan if value is None else value for value in values]
    return truncated_entropy(table, vocabulary, wanted.missing, top)
