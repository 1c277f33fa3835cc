"""A tiny random model, its tokenizer and a task: small enough that a GRPO step takes a tenth of a second."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM, PreTrainedTokenizerFast


LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 .#:<>|?"
TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}:{{ m['content'] }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant:{% endif %}"
)


def tokenizer() -> PreTrainedTokenizerFast:
    vocabulary = {token: i for i, token in enumerate(["[pad]", "[eos]", "[unk]", *LETTERS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="[unk]"))
    raw.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokens = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[pad]", eos_token="[eos]", unk_token="[unk]", padding_side="left"
    )
    tokens.chat_template = TEMPLATE
    return tokens


SIZES = {
    "vocab_size": len(LETTERS) + 3,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 1,
}


def model(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(LlamaConfig(**SIZES))


def eager_model(seed: int = 0) -> LlamaForCausalLM:
    """The same, whose attention can be looked at, and is less even than a random model's."""
    made = model(seed)
    made.set_attn_implementation("eager")
    with torch.no_grad():
        for layer in made.model.layers:
            layer.self_attn.q_proj.weight.mul_(40)
            layer.self_attn.k_proj.weight.mul_(10)
    return made


def moe_model(seed: int = 0) -> MixtralForCausalLM:
    torch.manual_seed(seed)
    return MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=2, num_experts_per_tok=1))


def saved_model(folder: Path) -> str:
    """The same model and tokenizer in a folder, for runs that load it by path."""
    if not (folder / "config.json").exists():
        model().save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return str(folder)


def dataset(n: int = 40, conversational: bool = False, seed: int = 0) -> Dataset:
    """Rows of four arms; the prompt says which letter earns the reward, so that rewards differ between rollouts."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        word = "".join(rng.choice(list("abcdef"), 4))
        prompt = f"{i}:{word}#"
        rows.append(
            {
                "prompt": [{"role": "user", "content": prompt}] if conversational else prompt,
                "arm": ["a", "b", "c", "d"][i % 4],
                "level": i % 4,
                "kind": "even" if i % 2 == 0 else "odd",
                "letter": "abcd"[i % 4],
                "index": i,
            }
        )
    return Dataset.from_list(rows)


def reward(completions: list[Any], letter: list[str], **kwargs: Any) -> list[float]:
    """1 where the completion holds more than two letters of the arm's set: from nearly always (a) to never (d)."""
    texts = [c if isinstance(c, str) else c[0]["content"] for c in completions]
    wanted = {"a": LETTERS[:30], "b": LETTERS[:20], "c": LETTERS[:10], "d": "?"}
    return [float(sum(x in wanted[ch] for x in text) > 2) for text, ch in zip(texts, letter, strict=True)]


# Supervised rows: every one of another length, and no two alike.

TRAINING_TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}:{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] }}>{% endgeneration %}{% else %}{{ m['content'] }}>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant:{% endif %}"
)


def sft_dataset(n: int = 40, conversational: bool = False, seed: int = 0) -> Dataset:
    """Prompts with completions of 1 to 9 letters, or conversations of two turns, of four arms."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(n):
        prompt = f"{i}:{''.join(rng.choice(list('abcdef'), 3))}#"
        first, second = ("".join(rng.choice(list("ghijk"), size)) for size in (1 + i % 9, 1 + i % 4))
        row: dict[str, Any] = {"prompt": prompt, "completion": first}
        if conversational:
            turns = zip(("user", "assistant") * 2, (prompt, first, "b", second), strict=True)
            row = {"messages": [{"role": role, "content": content} for role, content in turns]}
        rows.append(row | {"arm": "abcd"[i % 4], "index": i})
    return Dataset.from_list(rows)


def sft_tokens(row: dict[str, Any]) -> tuple[list[int], list[bool]]:
    """A row's tokens and which of them are trained on, worked out without TRL or the tokenizer."""
    if "messages" in row:
        parts = []
        for turn in row["messages"]:
            parts += [(f"<{turn['role']}:", False), (f"{turn['content']}>", turn["role"] == "assistant")]
    else:
        parts = [(row["prompt"], False), (row["completion"] + "$", True)]  # $ stands for the end of the sequence
    ids = [1 if letter == "$" else LETTERS.index(letter) + 3 for text, _ in parts for letter in text]
    return ids, [trained for text, trained in parts for _ in text]
