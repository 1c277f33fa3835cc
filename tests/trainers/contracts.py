"""How tests of hooks look at TRL, transformers and vLLM, and how they name what has changed."""

import inspect
from typing import Any

import transformers
import trl


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(function: Any) -> str:
    return inspect.getsource(inspect.unwrap(function))


def changed(what: str) -> str:
    return f"TRL {trl.__version__} or transformers {transformers.__version__} changed under trl_curriculum: {what}"
