from dataclasses import dataclass
from typing import Any

import numpy as np

from ..registry import option
from ..signals import BoolArray, FloatArray
from .base import ROLLOUTS, RolloutMethod


@ROLLOUTS.add("cure", paper="arXiv 2508.11016")
@dataclass(frozen=True)
class CURE(RolloutMethod):
    """
    Lets some rollouts of a group branch off others at a token where the model was undecided (CURE's first stage).

    Of G rollouts `first` are made as ever. In each, one of the `top` tokens of highest entropy is picked at random, no
    special one and not the first; the prompt and what stands before it are continued G / `first` - 1 times, that token
    drawn anew, up to `max_completion_length` in all. With the paper's 4 and G = 16 these are 4 + 12 rollouts, a group
    with one mean.

    Rollouts that branch off one share their first tokens: they are not independent, and a group's spread of rewards is
    smaller than it looks. Here these tokens are a part of each completion, scored, counted and trained on in each; in
    the paper's code they belong to the prompt of the branches, which train on what follows alone. The code also leaves
    out tokens of a single character, and goes on with plain DAPO after 300 steps: train a second run from the first's
    model for that. It costs a second generation and a forward over the `first`, for entropies at the trainer's
    `temperature`. With transformers' generation, and neither tools nor a `rollout_func`.

    Example:

    ```python
    >>> import numpy as np
    >>> from trl_curriculum.rollouts import CURE
    >>> entropy, usable = np.array([0.1, 2.0, 0.3, 1.9, 2.5]), np.array([True, True, True, True, False])
    >>> rng = np.random.default_rng(0)
    >>> {CURE(top=2).branch(entropy, usable, rng) for _ in range(20)}
    {1, 3}

    ```
    """

    first: int = option(4, "Rollouts of a group that are made as ever.", "paper", least=1)
    top: int = option(20, "Tokens of highest entropy of which one is picked.", "paper", least=1)

    def refuse(self, args: Any) -> None:
        n = args.num_generations
        if n % self.first or n == self.first:
            raise ValueError(
                f"cure branches off first={self.first} rollouts of each group alike, so num_generations={n} must be a "
                f"multiple of that, such as {4 * self.first}."
            )
        if args.max_completion_length is None:
            raise ValueError("cure cuts what it continues to max_completion_length: set it.")
        if args.use_vllm:
            raise ValueError(
                "cure continues rollouts by transformers, and was not tried with vLLM: set use_vllm to false."
            )
        if args.use_transformers_continuous_batching:
            raise ValueError(
                "cure was not tried with continuous batching: set use_transformers_continuous_batching to false."
            )
        if args.world_size > 1 and (args.per_device_train_batch_size * args.steps_per_generation) % n:
            raise ValueError(
                f"cure needs whole groups on each process, and {args.per_device_train_batch_size} x "
                f"steps_per_generation={args.steps_per_generation} rollouts are no multiple of num_generations={n}: "
                "change one of them."
            )

    def branch(self, entropy: FloatArray, usable: BoolArray, rng: np.random.Generator) -> int:
        where = 1 + np.flatnonzero(usable[1:])
        best = where[np.argsort(-entropy[where], kind="stable")[: self.top]]
        return int(rng.choice(best)) if len(best) else 0
