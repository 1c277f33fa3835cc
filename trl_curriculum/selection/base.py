"""What a selection method is: a pure function of features, with its options."""

from dataclasses import dataclass

from ..registry import Method, Registry
from .features import Features, Selection, check_k


@dataclass(frozen=True)
class Selector(Method):
    """Says which candidates to keep. A method implements `choose`."""

    def __call__(self, features: Features, k: int) -> Selection:
        """
        Selects among candidates.

        Args:
            features ([`Features`]):
                Candidates and targets.
            k (`int`):
                How many candidates to keep.

        Raises:
            `ValueError`: where k is not between 1 and the number of candidates.
        """
        check_k(k, len(features))
        self.refuse(len(features))
        chosen = self.choose(features, k)
        if not isinstance(chosen, Selection):
            raise TypeError(f"choose of {self.name} returned a {type(chosen).__name__}: return a Selection.")
        return chosen

    def refuse(self, n: int) -> None:
        """Refuses options that cannot be with n candidates or fewer, in one sentence; the default refuses none."""

    def choose(self, features: Features, k: int) -> Selection:
        """The k candidates to keep, the most wanted first."""
        raise NotImplementedError


SELECTION: Registry[Selector] = Registry(
    "selection method",
    Selector,
    "trl_curriculum.selection",
    "{evoselect: {diversity: 0.3}}, with `keep`, `distinct` and `features` beside it",
)
