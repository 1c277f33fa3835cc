"""What writes: a transformers model or a vLLM engine, behind one small interface."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    StoppingCriteria,
    StoppingCriteriaList,
)

from ..disk.partial import fingerprint
from ..lm.batches import pad_ids
from ..lm.generate import end_tokens, generates_as, own_random, padding_token, sampling_config
from ..lm.tap import measuring
from ..rewards.answers import Completion


@dataclass(frozen=True)
class Sampling:
    """
    How texts are sampled; all defaults are ours.

    Args:
        temperature (`float`, *optional*, defaults to `1.0`):
            0 takes the most probable token.
        top_p (`float`, *optional*, defaults to `1.0`):
            Probability of the tokens to sample from.
        max_new_tokens (`int`, *optional*, defaults to `256`):
            Tokens of one text at most.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.max_new_tokens < 1:
            raise ValueError(
                f"temperature={self.temperature}, top_p={self.top_p} and max_new_tokens={self.max_new_tokens}: they "
                "must be at least 0, in (0, 1], and at least 1."
            )


@dataclass(frozen=True)
class Written:
    """A text, the tokens that it took, and whether it ended by itself: at a stop or by the model's own end."""

    text: str
    tokens: int
    ended: bool


class Writer(Protocol):
    """What a generator writes with."""

    window: int | None  # tokens of prompt and text that fit

    def encode(self, prompt: Completion) -> list[int]:
        """Token ids of a text, or of messages through the chat template."""
        ...

    def write(
        self, prompts: list[list[int]], sampling: Sampling, stop: Sequence[str], seeds: Sequence[int]
    ) -> list[Written]:
        """One text per prompt, the same for the same arguments, up to the first of the stops and without it."""
        ...

    def identity(self) -> str:
        """Tells a model and its weights from others: what was written by another is not taken up again."""
        ...


class TransformersWriter:
    """
    Writes with a transformers model, a padded batch at a time, on random numbers of its own (from the first seed).

    Args:
        model ([`~transformers.PreTrainedModel`]):
            The model; its own generation config is not used, but for its end tokens.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.window: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)

    @classmethod
    def load(cls, model: str | Path, **kwargs: Any) -> "TransformersWriter":
        """Loads a model by path or name, with arguments for its `from_pretrained`, such as `dtype` or `device_map`."""
        loaded = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False, **kwargs)
        return cls(loaded, AutoTokenizer.from_pretrained(model, trust_remote_code=False))

    def encode(self, prompt: Completion) -> list[int]:
        return _encode(self.tokenizer, prompt)

    def write(
        self, prompts: list[list[int]], sampling: Sampling, stop: Sequence[str], seeds: Sequence[int]
    ) -> list[Written]:
        ends = end_tokens(self.model, self.tokenizer)
        pad = padding_token(self.tokenizer, ends)
        ids, mask = pad_ids(prompts, pad, "left")
        longest, device = ids.shape[1], self.model.device
        config = sampling_config(sampling.temperature, sampling.top_p, sampling.max_new_tokens, ends, pad)
        stopping = StoppingCriteriaList([_Stops(self.tokenizer, stop, longest)] if stop else [])
        with measuring(self.model), own_random(device, seeds[0]), generates_as(self.model, config):
            made = self.model.generate(
                ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
                stopping_criteria=stopping,
            )
        return [self._written(row, stop, {*ends, pad}) for row in made[:, longest:].tolist()]

    def identity(self) -> str:
        return fingerprint(("transformers",), self.model)

    def _written(self, row: list[int], stop: Sequence[str], ends: set[int]) -> Written:
        length = next((k for k, token in enumerate(row) if token in ends), len(row))
        text = self.tokenizer.decode(row[:length], skip_special_tokens=True)
        cut = min((text.index(one) for one in stop if one in text), default=None)
        tokens = min(length + 1, len(row))
        return Written(text[:cut], tokens, cut is not None or length < len(row))


class _Stops(StoppingCriteria):
    """Ends each row whose last tokens hold a stop."""

    def __init__(self, tokenizer: Any, stop: Sequence[str], begin: int) -> None:
        self.tokenizer, self.stop, self.begin = tokenizer, stop, begin
        self.tail = max(len(one.encode()) for one in stop)  # tokens: each is one byte at least

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        tails = self.tokenizer.batch_decode(input_ids[:, max(self.begin, input_ids.shape[1] - self.tail) :])
        return torch.tensor([any(one in tail for one in self.stop) for tail in tails], device=input_ids.device)


class VLLMWriter:
    """
    Writes with a vLLM engine, each text on a seed of its own.

    Args:
        llm (`vllm.LLM`):
            The engine.
    """

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self.tokenizer = llm.get_tokenizer()
        self.window: int | None = llm.model_config.max_model_len

    @classmethod
    def load(cls, model: str | Path, **kwargs: Any) -> "VLLMWriter":
        """Starts an engine for a model by path or name, with arguments for `vllm.LLM`."""
        try:
            from vllm import LLM
        except ImportError as error:
            raise ImportError("Writing with vLLM needs vllm: run `pip install 'trl_curriculum[vllm]'`.") from error
        return cls(LLM(str(model), trust_remote_code=False, **kwargs))

    def encode(self, prompt: Completion) -> list[int]:
        return _encode(self.tokenizer, prompt)

    def write(
        self, prompts: list[list[int]], sampling: Sampling, stop: Sequence[str], seeds: Sequence[int]
    ) -> list[Written]:
        from vllm import SamplingParams

        each = [
            SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                max_tokens=sampling.max_new_tokens,
                stop=list(stop) or None,
                seed=int(seed),
            )
            for seed in seeds
        ]
        answers = self.llm.generate([{"prompt_token_ids": ids} for ids in prompts], each, use_tqdm=False)
        texts = [answer.outputs[0] for answer in answers]
        return [Written(one.text, len(one.token_ids), one.finish_reason == "stop") for one in texts]

    def identity(self) -> str:
        """By the model's path or name, revision and, for a folder, its weight files: their names, sizes and times."""
        config = self.llm.model_config
        files = sorted(Path(config.model).glob("*.safetensors"))
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return fingerprint(("vllm", config.model, getattr(config, "revision", None), stats))


def _encode(tokenizer: Any, prompt: Completion) -> list[int]:
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    if not tokenizer.chat_template:
        raise ValueError("The model's tokenizer has no chat template: take a template with chat=False.")
    return list(
        tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=True, return_dict=True, enable_thinking=False
        )["input_ids"]
    )
