"""One fingerprint of rows, options and weights, and the redaction of secrets that comes before it."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash


REDACTED = "***"
SAMPLES, SAMPLE = 16, 1 << 16  # of a file of weights, and bytes of each
WEIGHTS = (".safetensors", ".bin", ".gguf", ".pt", ".pth")
CONFIGS = ("config.json", "adapter_config.json")  # say how the weights are used

SECRET_WORDS = {"password", "passwd", "pwd", "passphrase", "secret", "secrets", "authorization", "bearer", "apikey"}
SECRET_WORDS |= {"credential", "credentials", "cookie", "cookies", "auth", "jwt", "hftoken", "userpass"}
SECRET_NAMES = {"pat", "sig", "signature", "connection_string"}  # as a whole name, not as a part of one
KINDS_OF_KEY = {"api", "access", "account", "auth", "encryption", "private", "secret", "signing", "ssh"}
KINDS_OF_KEY |= {"anthropic", "comet", "hf", "openai", "wandb"}
# What a tokenizer calls a token is none to log in with
SPECIAL_TOKENS = {"audio", "begin", "bos", "cls", "decoder", "end", "eoi", "eos", "first", "image", "mask", "per"}
SPECIAL_TOKENS |= {"call", "new", "next", "pad", "sep", "special", "start", "stop", "think", "tool", "unk", "video"}

WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
IN_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.\-]*://)[^/?#\s'\"]*@")
IN_QUERY = re.compile(r"([?&])([\w.\-]+)=([^&#\s'\"]+)")
# Without one of these there is no need to look closer
LOOKS: tuple[str, ...] = ("earer ", "uthorization: ", "github_pat_", "glpat-", "sk-", "AKIA", "hf_")
LOOKS += tuple(f"gh{letter}_" for letter in "pousr") + tuple(f"xox{letter}-" for letter in "abp")
BY_ITS_LOOK = re.compile(
    r"(?<=[Bb]earer )[\w.~+/=\-]{16,}|(?<=[Aa]uthorization: Basic )[\w+/=]+|\b(?:hf_|gh[pousr]_|github_pat_|glpat-|"
    r"sk-|xox[abp]-)[\w\-]{20,}|\bAKIA[0-9A-Z]{16}\b"
)


def redact(value: Any) -> Any:
    """
    A value without its secrets, for what is written, logged or fingerprinted.

    Args:
        value:
            Plain values and dataclasses, nested in mappings and sequences. Replaced by `***` are values whose key
            names a secret (`token`, `password`, `api_key`, `secret`, `authorization` and the like; not `eos_token`),
            what stands before the `@` of a URL, secrets in its query, the second of a pair whose first names a
            secret, what follows such an option (`--token`), and texts that look like a token (`Bearer …`, `hf_…`,
            `sk-…`).

    Returns:
        The same kinds of values; of a dataclass its name and its fields.
    """
    if isinstance(value, str):
        return _redact_text(value)
    if isinstance(value, dict):
        return {name: _redact_item(name, item) for name, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value)]
        return {type(value).__name__: {name: _redact_item(name, getattr(value, name)) for name in fields}}
    if isinstance(value, list | tuple) and not set(map(type, value)) <= {int, float, bool}:
        before = [None, *value[:-1]]  # of a pair or of words of a command line, what names the next
        named = [isinstance(one, str) and (len(value) == 2 or one.startswith("-")) for one in before]
        redacted = [_redact_item(before[k] if named[k] else None, item) for k, item in enumerate(value)]
        return redacted if isinstance(value, list) else tuple(redacted)
    return value


def fingerprint(parts: Iterable[Any], model: Any = None) -> str:
    """
    Tells one piece of work from another.

    Args:
        parts:
            What it depends on: arrays, bytes, and what [`redact`] takes.
        model ([`~torch.nn.Module`], *optional*):
            Of whose weights a sample counts as well.

    Returns:
        `str` of 16 hexadecimal digits. It does not depend on secrets.
    """
    hasher = xxhash.xxh3_64()
    for part in parts:
        if isinstance(part, np.ndarray):
            hasher.update(np.ascontiguousarray(part).data)
        else:
            hasher.update(part if isinstance(part, bytes) else repr(redact(part)).encode(errors="surrogatepass"))
    for weight in model.parameters() if model is not None else ():
        own = getattr(weight, "ds_tensor", weight).detach()  # of a sharded weight this process's part (ZeRO, FSDP)
        flat = (own.to_local() if hasattr(own, "to_local") else own).flatten()
        hasher.update(flat[:: max(1, len(flat) // 64)][:64].float().cpu().numpy().tobytes())
    return hasher.hexdigest()


def fingerprint_rows(rows: Sequence[Any]) -> str:
    """How many rows there are, and a fingerprint of them, in words."""
    return f"{len(rows)} rows with the fingerprint {fingerprint(rows)}"


def weights_key(model: str | Path) -> str:
    """
    Tells a model's weights from others: by its name or, for a folder, by samples of its files of weights and by its
    configuration.
    """
    found = sorted(Path(model).glob("*"))
    files = [path for path in found if path.suffix in WEIGHTS or path.name in CONFIGS]
    if not any(path.suffix in WEIGHTS for path in files):
        return redact(str(model))
    hasher = xxhash.xxh3_64()
    for path in files:
        size = path.stat().st_size
        hasher.update(f"{path.name} {size}".encode())
        with open(path, "rb") as file:
            for k in range(SAMPLES):
                file.seek(max(0, size - SAMPLE) * k // (SAMPLES - 1))
                hasher.update(file.read(SAMPLE))
    return hasher.hexdigest()


def _redact_item(name: Any, value: Any) -> Any:
    if isinstance(value, bool | None) or not _is_secret(name):
        return redact(value)
    return REDACTED


def _is_secret(name: Any) -> bool:
    """Whether a key names a secret, such as `hub_token`, `apiKey` or `X-API-Key`; `max_tokens` does not."""
    words = [word.lower() for word in WORD.findall(name)] if isinstance(name, str) else []
    if not words:
        return False
    if words[-2:] == ["key", "id"]:
        words = words[:-1]
    before = words[-2] if len(words) > 1 else ""
    return (
        name.lower().lstrip("-") in SECRET_NAMES
        or not SECRET_WORDS.isdisjoint(words)
        or (words[-1] == "token" and before not in SPECIAL_TOKENS)
        or (words[-1] == "key" and before in KINDS_OF_KEY)
    )


def _redact_text(text: str) -> str:
    if "://" in text:
        text = IN_URL.sub(rf"\1{REDACTED}@", text)
        text = IN_QUERY.sub(lambda m: f"{m[1]}{m[2]}={REDACTED if _is_secret(m[2]) else m[3]}", text)
    return BY_ITS_LOOK.sub(REDACTED, text) if any(look in text for look in LOOKS) else text
