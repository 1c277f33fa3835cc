"""The one table: every curriculum and every variant of it that behaves differently. A new method adds one line."""

import os

import numpy as np

from trl_curriculum import CURRICULA, Pool
from trl_curriculum.curricula import Curriculum, CurriculumMethod, SuccessRate
from trl_curriculum.registry import Spec


VARIANTS: dict[str, Spec] = {
    "uniform": "uniform",
    "order-easy_to_hard": {"order": {"mode": "easy_to_hard"}},
    "order-hard_to_easy": {"order": {"mode": "hard_to_easy"}},
    "order-blocked": {"order": {"mode": "blocked"}},
    "order-interleaved": {"order": {"mode": "interleaved"}},
    "order-stretched": {"order": {"total_draws": 500}},
    "sec": "sec",
    "sec-decay": {"sec": {"unsampled": "decay", "tau": 0.2}},
    "sec-prevalence": {"sec": {"prior": "prevalence", "tau": 0.2}},
    "sec-outcome": {"sec": {"outcome": "accuracy", "tau": 0.2}},
    "sec-estimated": "sec",
    "sec-estimated-uniform": {"sec": {"prior": "uniform"}},
    "dump": "dump",
    "dump-estimated": "dump",
    "mixture": "mixture",
    "mixture-temperature": {"mixture": {"temperature": 3.0}},
    "mixture-weights": {"mixture": {"weights": {"arm0": 3, "arm1": 0.5, "arm2": 1, "arm3": 1, "arm4": 2.5}}},
    "order-probe": {"order": {"difficulty": "probe"}},
    "order-probe-back": {"order": {"difficulty": "probe", "mode": "hard_to_easy", "total_draws": 100}},
    "baby_steps": "baby_steps",
    "baby_steps-probe": {"baby_steps": {"difficulty": "probe", "stages": 3}},
    "competence": "competence",
    "competence-probe": {"competence": {"difficulty": "probe", "initial": 0.1, "duration": 1.0}},
    "self_paced": "self_paced",
    "self_paced-often": {"self_paced": {"refresh_steps": 2, "start": 0.2, "duration": 1.0}},
    "self_paced-probe": {"self_paced": {"measure": "probe", "refresh_steps": 1}},
    "loss_top_k": "loss_top_k",
    "loss_top_k-often": {"loss_top_k": {"refresh_steps": 2}},
    "loss_top_k-probe": {"loss_top_k": {"measure": "probe", "share": 0.1, "refresh_steps": 3}},
    "data_maps": {"data_maps": {"refresh_steps": 2}},
    "data_maps-hard": {"data_maps": {"region": "hard", "refresh_steps": 2}},
    "data_maps-easy-probe": {"data_maps": {"region": "easy", "measure": "probe", "refresh_steps": 2}},
    "cyclical": "cyclical",
    "cyclical-probe": {"cyclical": {"measure": "probe", "start": 0.1, "end": 0.5, "alpha": 0.7}},
    "evo_curate": "evo_curate",
    "evo_curate-std": {"evo_curate": {"variability": "std", "refresh_steps": 2}},
    "evo_curate-later": {"evo_curate": {"variability": "std_after_first", "refresh_steps": 2}},
    "evo_curate-progress": {"evo_curate": {"variability": "progress", "refresh_steps": 2}},
    "evo_curate-uniform": {"evo_curate": {"kappa": 1.0, "refresh_steps": 2}},
    "evo_curate-diversity": {"evo_curate": {"diversity": 2.0, "refresh_steps": 2}},
    "evo_curate-no-replacement": {"evo_curate": {"variability": "std", "replacement": False, "refresh_steps": 5}},
    "evo_curate-probe": {"evo_curate": {"measure": "probe", "variability": "std", "refresh_steps": 2}},
    "evo_curate-probe-share": {"evo_curate": {"measure": "probe", "probe_share": 0.4, "refresh_steps": 2}},
    "evo_curate-probe-each-step": {"evo_curate": {"measure": "probe", "refresh_steps": 1}},
    "edco": "edco",
    "edco-keep": {"edco": {"top_n": 7, "optimizer": "keep", "rounds": 20}},
    "edco-loss": {"edco": {"score_by": "loss", "rounds": 3}},
    "edco-random": {"edco": {"score_by": "random", "rounds": 8}},
    "edco-uncertain": {"edco": {"reprobe": "uncertain", "rounds": 8}},
    "ucb1": {"ucb1": {"round_batches": 2}},
    "ucb1-levels": {"ucb1": {"round_batches": 1, "levels": 4}},
    "ucb1-outcome": {"ucb1": {"round_batches": 2, "outcome": "accuracy"}},
}
ESTIMATED = {
    "sec-estimated": SuccessRate(bins=5, every=2),
    "sec-estimated-uniform": SuccessRate(bins=5, every=2, outcome="accuracy"),
    "dump-estimated": SuccessRate(bins=4),
}
WITHOUT_PROBABILITIES = {"order", "ucb1"}
WITH_A_FLOOR = {"uniform", "evo_curate"}  # of .05 / size at least
IN_TURN = {  # an arm is used up before one of its rows comes again
    *("uniform", "order-easy_to_hard", "order-hard_to_easy", "order-blocked", "order-interleaved", "order-probe"),
    *("sec", "sec-decay", "sec-prevalence", "sec-outcome", "mixture", "mixture-temperature", "mixture-weights"),
    *("ucb1", "ucb1-levels", "ucb1-outcome"),
}
if only := os.environ.get("TRL_CURRICULUM_ONLY"):  # `TRL_CURRICULUM_ONLY=mine pytest tests/conformance`: one plug-in
    VARIANTS = {only: only}
else:
    VARIANTS |= {name: name for name in CURRICULA.all() if name not in CURRICULA.built_in}


def method(variant: str) -> CurriculumMethod:
    return CURRICULA.make(VARIANTS[variant])


def pool(
    size: int = 60, n_arms: int = 5, labelled: bool = True, seed: int = 0, estimated: SuccessRate | None = None
) -> Pool:
    rng = np.random.default_rng(seed)
    n_arms = min(n_arms, size)
    arm = np.arange(size) % n_arms
    row_hash = rng.integers(0, 2**63, size, dtype=np.uint64)
    names = [f"arm{k}" for k in range(n_arms)]
    return Pool(size, arm if labelled else None, names if labelled else None, arm * 1.0, row_hash, estimated)


def make(variant: str, over: Pool | None = None, seed: int = 0) -> Curriculum:
    estimated = ESTIMATED.get(variant)
    labelled = estimated is None and variant != "ucb1-levels"
    if over is None:
        over = pool(labelled=labelled, estimated=estimated)
    elif not labelled:
        over = Pool(over.size, difficulty=over.difficulty, row_hash=over.row_hash, estimated=estimated)
    made = method(variant)
    weights = made.options.get("weights")
    if weights is not None:  # small pools have fewer arms
        made = CURRICULA.make(
            {made.name: {"weights": {arm: w for arm, w in weights.items() if arm in over.arm_names}}}
        )
    return made.bind(over, seed)
