"""Tiny byte-level models for the cases: one with a window of 64 tokens, one whose template refuses system messages."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NOSYS = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHATML
)


def tokenizer(template: str = CHATML) -> PreTrainedTokenizerFast:
    vocabulary = {t: i for i, t in enumerate(["<pad>", "<eos>", *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    raw = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokens = PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token="<eos>", bos_token="<eos>", pad_token="<pad>", padding_side="left"
    )
    tokens.chat_template = template
    return tokens


def model(positions: int = 512) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=258, num_key_value_heads=2, max_position_embeddings=positions, **sizes, **ids)
    )


def make(folder: Path) -> None:
    for name, template, positions in (("tiny", CHATML, 512), ("nosys", NOSYS, 512), ("short", CHATML, 64)):
        model(positions).save_pretrained(folder / name)
        tokenizer(template).save_pretrained(folder / name)
