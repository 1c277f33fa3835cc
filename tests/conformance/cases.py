"""The one table: every curriculum and every variant of it that behaves differently. A new method adds one line."""

import os
from typing import Any

import numpy as np

from trl_curriculum import Pool, available_curricula, make_curriculum
from trl_curriculum.curricula import Curriculum
from trl_curriculum.registry import BUILT_IN


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "uniform": ("uniform", {}),
    "order-easy_to_hard": ("order", {"mode": "easy_to_hard"}),
    "order-hard_to_easy": ("order", {"mode": "hard_to_easy"}),
    "order-blocked": ("order", {"mode": "blocked"}),
    "order-interleaved": ("order", {"mode": "interleaved"}),
    "order-stretched": ("order", {"total_draws": 500}),
    "sec": ("sec", {}),
    "sec-decay": ("sec", {"unsampled": "decay", "tau": 0.2}),
    "sec-prevalence": ("sec", {"prior": "prevalence", "tau": 0.2}),
    "sec-unnormalized": ("sec", {"learn_from": "unnormalized"}),
    "sec-success": ("sec", {"learn_from": "success"}),
    "sec-estimated": ("sec", {"success_bins": 5, "rebucket_every": 2}),
    "sec-estimated-uniform": ("sec", {"success_bins": 5, "rebucket_every": 2, "prior": "uniform"}),
    "dump": ("dump", {}),
    "dump-estimated": ("dump", {"success_bins": 4}),
}
if only := os.environ.get("TRL_CURRICULUM_ONLY"):  # `TRL_CURRICULUM_ONLY=mine pytest tests/conformance`: one plug-in
    VARIANTS = {only: (only, {})}
else:
    VARIANTS |= {name: (name, {}) for name in available_curricula() if name not in BUILT_IN}


def pool(size: int = 60, n_arms: int = 5, labelled: bool = True, seed: int = 0) -> Pool:
    rng = np.random.default_rng(seed)
    n_arms = min(n_arms, size)
    arm = np.arange(size) % n_arms
    row_hash = rng.integers(0, 2**63, size, dtype=np.uint64)
    names = [f"arm{k}" for k in range(n_arms)]
    return Pool(size, arm if labelled else None, names if labelled else None, arm * 1.0, row_hash)


def make(variant: str, over: Pool | None = None, seed: int = 0) -> Curriculum:
    name, options = VARIANTS[variant]
    labelled = "success_bins" not in options
    if over is None:
        over = pool(labelled=labelled)
    elif not labelled and over.n_arms > 1:
        over = Pool(over.size, difficulty=over.difficulty, row_hash=over.row_hash)
    return make_curriculum(name, over, seed, **options)
