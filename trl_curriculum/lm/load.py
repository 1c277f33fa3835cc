"""Engines by name, and how each is made of a model's path or name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .engines import Engine
from .server_engine import ServerEngine
from .transformers_engine import TransformersEngine
from .vllm_engine import VLLMEngine


@dataclass(frozen=True)
class EngineKind:
    """
    How an engine is made of a model's path or name.

    Args:
        load (`Callable`):
            Takes the path or name and options, imports what it needs, and returns an [`Engine`].
        needs (`tuple[str, ...]`, *optional*):
            Options without which it cannot be made.
    """

    load: Callable[..., Any]
    needs: tuple[str, ...] = ()

    def missing(self, options: dict[str, Any] | None) -> list[str]:
        """Options that it needs and does not have."""
        return [name for name in self.needs if name not in (options or {})]


def _server(model: Any, **options: Any) -> Engine:
    return ServerEngine(model=str(model), **options)


ENGINES = {
    "transformers": EngineKind(TransformersEngine.load),
    "vllm": EngineKind(VLLMEngine.load),
    "server": EngineKind(_server, needs=("url",)),
}
