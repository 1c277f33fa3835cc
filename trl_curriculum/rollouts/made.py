"""What has been made for a batch so far, as methods see it that decide whether more shall be."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Made:
    """
    What has been made for a batch so far, over all processes.

    Args:
        needed (`int`):
            Groups that the batch needs; those that were carried over from the last one are not counted.
        tries (`int`):
            Generations.
        groups (`int`):
            Groups that were generated.
        kept (`int`):
            How many of them all methods keep.
        tokens (`int`):
            Tokens of their completions.
    """

    needed: int
    tries: int
    groups: int
    kept: int
    tokens: int

    @property
    def missing(self) -> int:
        """Groups that the batch still lacks."""
        return max(0, self.needed - self.kept)
