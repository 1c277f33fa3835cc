"""Every curriculum of the conformance table trains a simulated learner, in every way that it can be set up."""

import numpy as np
import pytest
from cases import VARIANTS

from trl_curriculum.evaluation.simulated import simulate
from trl_curriculum.evaluation.worlds import World


FEW = World(arms=5, rows=12, impossible=0.1, wrong_gold=0.1, wrong_gold_pays=0.5, coin_flip=0.1, copies=2)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_trains_a_simulated_learner(variant: str) -> None:
    case = VARIANTS[variant]
    runs = [simulate(case.method, FEW, seed, 24, 8, 4, estimated=case.estimated) for seed in (0, 0)]
    found = runs[0]
    assert found.equals(runs[1]) and len(found) == 24
    assert (found["competence"].iloc[-1] > found["competence"].iloc[0]) and (
        found["coverage"].diff().dropna() >= 0
    ).all()
    shares = found[[name for name in found if name.startswith("share/")]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(np.ones(24))
    assert (found["probed_tokens"] > 0).all() == (case.method.probe is not None)
    sft = case.method.follows == ("loss",) or case.method.probe == "loss"
    assert found["zero_variance"].isna().all() == sft
