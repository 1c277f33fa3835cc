"""What a curriculum can do in a run, before it begins: every method over a pool says it of itself."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """
    What a curriculum can do in a run of so many batches of so many rows.

    Args:
        by_arm (`bool`):
            Whether it chooses among arms: with one arm it can do nothing.
        in_order (`bool`):
            Whether it takes arms in their order.
        acts_at (`int`, *optional*):
            The first batch, counted from 1, whose rows it chooses by what it has seen, even if that is after the last.
            `None`: it needs to see nothing, or it is not known.
        remedy (`str`):
            What to set so that it acts earlier.
        event (`str`):
            What happens now and then: `"refresh"`, `"round"`, `"stage"`.
        events (`tuple[int, ...]`):
            Batches of the run, counted from 1, before which it does; the first thousand of them.
        tau (`float`, *optional*):
            Temperature between arms: their odds are exp(difference of their mean |A| / tau).
        bonus (`bool`):
            Whether arms that were rarely drawn get a bonus on top.
        probes, probed_rows (`int`):
            How often it has rows measured, and how many each time.
        or_fewer (`bool`):
            Whether these may turn out to be fewer.
        odd (`tuple[str, ...]`):
            What is allowed and hardly meant, in sentences.
    """

    by_arm: bool = False
    in_order: bool = False
    acts_at: int | None = None
    remedy: str = ""
    event: str = ""
    events: tuple[int, ...] = ()
    tau: float | None = None
    bonus: bool = False
    probes: int = 0
    probed_rows: int = 0
    or_fewer: bool = False
    odd: tuple[str, ...] = ()


class Foreseen:
    """Something that has an outlook."""

    def outlook(self, batches: int | None, rows: int | None) -> Outlook:
        """
        What it can do in a run.

        Args:
            batches (`int`, *optional*):
                How often it is asked for rows in the run, where that is known.
            rows (`int`, *optional*):
                For how many each time, where that is known.
        """
        return Outlook()

    @property
    def chooses_arms(self) -> bool:
        """Whether it chooses among arms that stay what they are, and takes their rows as they come."""
        return self.outlook(None, None).by_arm

    @property
    def choice(self) -> int | None:
        """A number that changes whenever it chooses anew by what it has seen; `None` where it never does."""
        return None


def parts(n: int, batches: int | None) -> tuple[int, ...]:
    """Batches, counted from 1, before which equal parts of a run begin; several may begin with the same batch."""
    if batches is None:
        return ()
    return tuple(sorted({math.ceil(k * batches / n - 1e-9) + 1 for k in range(n)} & set(range(1, batches + 1))))
