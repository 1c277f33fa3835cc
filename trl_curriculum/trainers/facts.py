"""What a run is made of, as plain values that can be saved, compared and shown."""

import importlib.metadata
from typing import Any

from ..disk.fingerprint import fingerprint, redact
from ..report.card import methods_of
from ..report.public import public_name, public_options
from ..version import __version__


MOST_ARMS = 100_000  # whose sizes are kept for a report
PACKAGES = ("numpy", "torch", "transformers", "trl", "datasets", "accelerate", "peft", "trl_curriculum")


def versions() -> dict[str, str]:
    """Versions of the packages that draws and weights depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def plain(value: Any) -> Any:
    """A value without secrets, as a saved state gives it back, and alike in all processes that hold its like."""
    value = redact(getattr(value, "value", value))
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, str | int | float | bool | None):
        return value
    text = str(value)
    return getattr(value, "__name__", type(value).__name__) if " at 0x" in text else text  # where it lies in memory


def for_report(trainer: Any) -> dict[str, Any]:
    """What a report tells of a run besides what it drew: methods and options, rows, and the size of each arm."""
    pool, args = trainer.pool, trainer.args
    given = not pool.is_stream and pool.estimated is None and 1 < pool.n_arms <= MOST_ARMS
    return {
        "version": __version__,
        "trainer": "GRPO" if hasattr(trainer, "reward_funcs") else "SFT",
        "model": public_name(trainer.model.config.name_or_path),
        "methods": [
            {"role": role, "name": one.name or type(one).__name__, "options": plain(public_options(one.options))}
            for role, one in methods_of(trainer)
        ],
        "rows": None if pool.is_stream else pool.size,
        "arms": dict(zip(pool.arm_names, pool.arm_size.tolist(), strict=True)) if given else None,
        "generations": getattr(args, "num_generations", None),
        "max_steps": args.max_steps,
    }


def of_tokenizer(tokenizer: Any) -> dict[str, Any]:
    """Facts on a tokenizer, or on the one of a processor."""
    text = getattr(tokenizer, "tokenizer", tokenizer)
    words = sorted(text.get_vocab().items()) if hasattr(text, "get_vocab") else None
    special = getattr(text, "special_tokens_map", None) or {}
    return {
        "the tokenizer's vocabulary": fingerprint([repr(words).encode(errors="surrogatepass")]),
        "the tokenizer's special tokens": plain({name: str(one) for name, one in special.items()}),
        "the chat template": fingerprint([getattr(tokenizer, "chat_template", None)]),
    }
