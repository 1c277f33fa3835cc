"""What generates: one small interface over transformers, vLLM and a vLLM server, for probes and for generators."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..options import check_options, option
from ..signals import FloatArray
from .entropy import Missing


VLLM_LOGPROBS = 20  # what vLLM returns at most unless it is started with a larger max_logprobs
Prompt = str | list[dict[str, str]]  # a text, or messages


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

    temperature: float = option(1.0, least=0)
    top_p: float = option(1.0, above=0, most=1)
    max_new_tokens: int = option(256, least=1)

    def __post_init__(self) -> None:
        check_options(self, "the sampling")


@dataclass(frozen=True)
class TokenEntropy:
    """
    Which entropies of the next-token distributions an engine returns.

    Args:
        logprobs (`int`, *optional*):
            How many of the most probable tokens they are computed from. Default: the whole vocabulary where the engine
            sees it (transformers), 20 with vLLM, which returns no more unless it is started with `max_logprobs`.
        missing (`str`, *optional*, defaults to `"renormalize"`):
            What to make of the probability of all others: see [`~trl_curriculum.lm.entropy.truncated_entropy`].
    """

    logprobs: int | None = None
    missing: Missing = "renormalize"


@dataclass(frozen=True)
class Completion:
    """
    What a model wrote.

    Args:
        text (`str`):
            Up to the first stop and without it.
        tokens (`int`):
            Tokens that it took.
        ended (`bool`):
            Whether it ended by itself: at a stop or by the model's own end.
        entropies (`FloatArray`, shape `(n,)`, *optional*):
            Of each token's distribution, before sampling bends it, in nats; NaN where logits are no numbers. Where a
            model itself writes the padding token, the text ends there, and the entropies go on to its end.
    """

    text: str
    tokens: int
    ended: bool
    entropies: FloatArray | None = field(default=None, compare=False)


class Engine(Protocol):
    """A model that completes prompts."""

    name: str
    window: int | None  # tokens of prompt and completion that fit

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of a text, or of messages through the chat template."""
        ...

    def complete(
        self,
        prompts: list[list[int]],
        sampling: Sampling,
        seeds: Sequence[int],
        stop: Sequence[str] = (),
        entropy: TokenEntropy | None = None,
    ) -> list[Completion]:
        """
        One completion per prompt, the same for the same arguments.

        Args:
            prompts (`list[list[int]]`):
                Token ids.
            sampling ([`Sampling`]):
                Of the completions.
            seeds (`Sequence[int]`):
                One per prompt; an engine that samples a whole batch from one stream takes the first.
            stop (`Sequence[str]`, *optional*):
                Texts at which a completion ends.
            entropy ([`TokenEntropy`], *optional*):
                Which entropies to return with them. Default: none.
        """
        ...

    def identity(self) -> str:
        """Tells a model and its weights from others: what another has generated is not taken up again."""
        ...


def encode(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Token ids of a text, or of messages through the chat template, without thinking where it has that switch."""
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    if not tokenizer.chat_template:
        raise ValueError("The model's tokenizer has no chat template: take a template with chat=False.")
    return list(
        tokenizer.apply_chat_template(
            prompt, add_generation_prompt=True, tokenize=True, return_dict=True, enable_thinking=False
        )["input_ids"]
    )
