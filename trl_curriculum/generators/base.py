"""What a generator is: a method with a share of the candidates, made anew for each round's model and examples."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from ..registry import Method, Registry, option
from .candidates import Batch, Candidate


class Generator(Protocol):
    """Where candidates come from."""

    def generate(self, n: int, seed: int = 0, folder: str | Path | None = None, disable_tqdm: bool = False) -> Batch:
        """
        About n candidates, the same for the same arguments.

        Args:
            n (`int`):
                How many are wanted; never more come back.
            seed (`int`, *optional*, defaults to `0`):
                Another seed gives others, for example in the next round.
            folder (`str` or `Path`, *optional*):
                Where a slow generator keeps what it has written so far.
            disable_tqdm (`bool`, *optional*, defaults to `False`):
                Whether to show no progress bar.
        """
        ...


class Student(Protocol):
    """The model of a round."""

    @property
    def tokenizer(self) -> Any: ...

    def load(self) -> Any:
        """The model as it is now."""
        ...


@dataclass(frozen=True)
class GeneratorMethod(Method):
    """A generator with its options. A method implements `make`."""

    share: float = option(1.0, "Share of the candidates that it writes.", above=0, most=1, kw_only=True)

    def located(self, find: Callable[[str], str]) -> Self:
        """
        The same with the files and models that it names where they are found.

        Args:
            find (`Callable`):
                Says where a name or a path leads to.

        Raises:
            `FileNotFoundError`: where a file is missing.
        """
        return self

    def depends_on(self) -> Any:
        """Plain values that tell what it writes from what others write, wherever its files are."""
        return self.spec

    def make(self, student: Student, examples: Sequence[Candidate]) -> Generator:
        """
        Makes the generator, for one round.

        Args:
            student ([`Student`]):
                The model of the round.
            examples (`Sequence[Candidate]`):
                Trusted rows. What is written is of their kind, texts or messages, unless an option says otherwise.
        """
        raise NotImplementedError


GENERATORS: Registry[GeneratorMethod] = Registry(
    "generator", GeneratorMethod, "trl_curriculum.generators", "{file: {path: rows.jsonl}}"
)


def make_generators(specs: Any, find: Callable[[str], str] = str) -> tuple[GeneratorMethod, ...]:
    """
    Makes generators of their specs.

    Args:
        specs:
            A list of specs, or one, as [`~trl_curriculum.registry.Registry.make`] takes them.
        find (`Callable`, *optional*):
            See [`GeneratorMethod.located`].

    Raises:
        `ValueError`, `TypeError` for a wrong type, `FileNotFoundError`: naming the mistake, before a model is loaded.
    """
    made = GENERATORS.make_all(specs)
    if not made:
        raise ValueError("No generators: say where candidates come from, for example {file: {path: rows.jsonl}}.")
    total = sum(one.share for one in made)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"The shares of {len(made)} generators sum to {total:g} (none stands for 1): make it 1.")
    return tuple(one.located(find) for one in made)
