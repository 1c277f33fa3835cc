"""Whether written rows are texts or messages: as the trusted examples are, unless an option says otherwise."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from ..registry import Method, option
from .candidates import Candidate


@dataclass(frozen=True)
class Form(Method):
    """Options of what writes rows: a template, or a generator of its own."""

    conversational: bool | None = option(
        None,
        "Whether rows are messages; default: as the examples are, without any where `system` is set.",
        kw_only=True,
    )
    system: str | None = option(
        None,
        "System message of rows that are messages, an empty text for none; default: the one that all examples share.",
        kw_only=True,
    )

    def check(self) -> None:
        if self.system and self.conversational is False:
            raise ValueError("`system` is set for candidates that are plain texts: set conversational=True as well.")

    @property
    def messages(self) -> bool:
        """Whether rows are messages."""
        return bool(self.system) if self.conversational is None else self.conversational

    def like(self, examples: Sequence[Candidate]) -> Self:
        """
        The same, with `conversational` and `system` set as the examples are where they are not set.

        Raises:
            `ValueError`: where `system` is set and the examples are texts.
        """
        if not examples:
            return self
        conversational, system = self.conversational, self.system
        if conversational is None:
            conversational = not isinstance(examples[0].prompt, str)
        systems = {_system(example) for example in examples}
        if system is None and conversational and len(systems) == 1:
            system = systems.pop()
        return dataclasses.replace(self, conversational=conversational, system=system)


def _system(example: Candidate) -> str | None:
    if isinstance(example.prompt, str) or example.prompt[0]["role"] != "system":
        return None
    text: str = example.prompt[0]["content"]
    return text
