"""Which pools a curriculum can be bound to."""

from typing import Any

from ..pool import Pool


def check_pool(curriculum: Any, method: Any, pool: Pool) -> None:
    """
    Refuses estimated arms and streams for a curriculum that can do nothing with them.

    Raises:
        `ValueError`: in one sentence that says what it needs.
    """
    if pool.estimated is not None and not curriculum.takes_estimated_arms:
        raise ValueError(
            f"arms={pool.estimated.name!r} are estimated while training, which has no effect on curriculum "
            f"{method.name!r}: leave them out, or choose a bandit such as 'sec'."
        )
    if pool.is_stream and not curriculum.takes_streams:
        raise ValueError(
            f"Curriculum {method.name!r} {_needs(curriculum, method)}, and rows of a stream are not known before they "
            "come: load them without streaming, or choose one that draws by arm: 'uniform', 'mixture' or a bandit "
            "such as 'sec'."
        )


def _needs(curriculum: Any, method: Any) -> str:
    """What a curriculum does with rows before they are drawn."""
    if method.probe is not None:
        return f"has the {method.probe.replace('_', ' ')} of rows measured before it draws them"
    if hasattr(method, "difficulty"):
        return "goes by the difficulty of every row"
    if any(declared.kind == "row" for declared in curriculum.declared().values()):
        return "remembers something of every row"
    return "chooses among all rows"
