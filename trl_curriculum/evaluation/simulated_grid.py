"""A grid with simulated learners in place of runs: what its table may look like, in seconds and without a model."""

import sys
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from tqdm import tqdm

from ..registry import nearest
from .compare import Metric
from .curves import cost
from .grid import CURRICULUM, Grid
from .simulated import simulate
from .worlds import WORLDS, World


COMPETENCE = Metric("competence", "mean success rate on held-out rows that can be learned")


@dataclass(frozen=True)
class Sizes:
    """
    How much simulated learners train.

    Args:
        steps, batch, generations (`int`):
            Optimizer steps, rows of a step, rollouts of a row.
    """

    steps: int = 200
    batch: int = 8
    generations: int = 8

    @classmethod
    def of(cls, base: dict[str, Any], command: str) -> "Sizes":
        """Those that a recipe sets; steps that it leaves open are 200."""
        steps, generations = base.get("max_steps") or 0, base.get("num_generations") or cls.generations
        rows = base.get("per_device_train_batch_size") or cls.batch * (generations if command == "grpo" else 1)
        rows *= (base.get("gradient_accumulation_steps") or 1) * (base.get("num_processes") or 1)
        batch = rows // generations if command == "grpo" else rows
        return cls(steps if steps > 0 else cls.steps, max(1, batch), generations)


def find_world(name: str) -> World:
    """
    A world by its name.

    Raises:
        `ValueError`: on an unknown one.
    """
    if name not in WORLDS:
        raise ValueError(f"simulate={name!r}{nearest(name, WORLDS)} is no world: take one of {', '.join(WORLDS)}.")
    return WORLDS[name]


def refuse_unsimulated(grid: Grid, by: str) -> None:
    """Refuses what simulated learners do not have: seconds, and methods other than curricula."""
    if by == "time":
        raise ValueError("match=time: simulated learners take no time; match by steps or tokens.")
    for entry in grid.entries:
        if others := [name for name in entry.changes if name != "curriculum"]:
            raise ValueError(f"{entry.name} sets {others[0]}, and simulated learners know curricula alone.")


def simulated_points(grid: Grid, world: World, sizes: Sizes, command: str, by: str) -> pd.DataFrame:
    """
    Trains a simulated learner for every cell.

    Args:
        grid ([`Grid`]):
            Methods by seeds.
        world ([`World`]):
            What there is to learn.
        sizes ([`Sizes`]):
            How much they train.
        command (`str`):
            `"grpo"` or `"sft"`.
        by (`str`):
            What they are matched by.

    Returns:
        `pandas.DataFrame` as of [`~trl_curriculum.evaluation.compare.measure`].

    Raises:
        `ValueError`: where the world lacks what a method needs, with the name of the cell.
    """
    trainer: Literal["GRPO", "SFT"] = "GRPO" if command == "grpo" else "SFT"
    parts = []
    for cell in tqdm(grid.cells, desc="cells", unit="cell", file=sys.stderr):
        method = CURRICULUM.of(grid.recipe(cell), cell.name)
        try:
            found = simulate(method, world, cell.seed, sizes.steps, sizes.batch, sizes.generations, trainer=trainer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{cell.name}: {error}") from error
        generated = found["generated_tokens"] + found["probed_tokens"] * (method.probe == "prefix_entropy")
        points = pd.DataFrame(
            {
                "method": cell.entry.name,
                "seed": cell.seed,
                "step": found["step"] + 1.0,  # competence is that after the step
                "trained_tokens": found["trained_tokens"].astype(float),
                "generated_tokens": generated.astype(float),
                "probe_tokens": found["probed_tokens"].astype(float),
                "discarded_tokens": 0.0,
                "value": found["competence"],
            }
        )
        parts.append(points)
    made = pd.concat(parts, ignore_index=True)
    made["cost"] = cost(made, by)
    return made
