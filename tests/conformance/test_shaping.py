"""What every shaper must do, as the frame applies it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from cases import SHAPERS

from trl_curriculum.disk.state import read_state, write_state
from trl_curriculum.shaping import ClipCov, SNRTopP
from trl_curriculum.signals import Tokens
from trl_curriculum.testing import table
from trl_curriculum.testing.batch import Batch, shaping, trainer
from trl_curriculum.trainers.shaping import Shaping


test_every_shaper = table(SHAPERS)


def test_what_ppo_has_clipped() -> None:
    batch = Batch()
    for level in ("token", "sequence"):
        frame = shaping(importance_sampling_level=level, epsilon_high=0.05)
        tokens = frame._make_tokens(batch.output, batch.logp, batch.entropy)
        ratio = (batch.logp - batch.old_logp).exp()
        if level == "sequence":
            mean = [(x * m).sum() / m.sum() for x, m in zip(batch.logp - batch.old_logp, batch.mask, strict=True)]
            ratio = torch.stack(mean).exp()[:, None].expand(ratio.shape)
        advantage = batch.output["advantages"][:, None]
        loss = torch.min(ratio * advantage, ratio.clamp(0.8, 1.05) * advantage)
        assert torch.equal(tokens.clipped, (loss != ratio * advantage)) and tokens.clipped.any()
    assert shaping(loss_type="sapo")._make_tokens(batch.output, batch.logp, batch.entropy).clipped is None


def test_shapers_act_in_the_order_of_the_list() -> None:
    batch = Batch()
    both = batch.shape_rollouts(shaping({"puzzlecraft": {"gamma": 0}}, {"budget": {"initial": 5, "weight": 1.0}}))
    added = shaping({"budget": {"initial": 5, "weight": 1.0}})
    right = batch.reward.reshape(6, 4).mean(1).repeat(4)  # puzzlecraft sees raw rewards
    np.testing.assert_allclose(both, batch.shape_rollouts(added) * 4 * right * (1 - right), rtol=1e-6)


def test_a_tuple_among_options_comes_back_as_a_list(tmp_path: Path) -> None:
    frame = Shaping((), trainer(), 0)
    frame.shapers = (SimpleNamespace(name="x", options={"band": (0.1, 0.2)}),)  # type: ignore[assignment]
    write_state(tmp_path / "state", frame.state_dict())
    frame.load_state_dict(read_state(tmp_path / "state"))


def test_clip_cov_leaves_alone_what_ppo_has_clipped() -> None:
    true = torch.ones(1, 4, dtype=torch.bool)
    advantage, logp = torch.tensor([[2.0, 2.0, -2.0, -2.0]]), torch.tensor([[-1.0, -3.0, -1.0, -3.0]])
    clipped = torch.tensor([[True, False, False, False]])
    tokens = Tokens(true, true, logp, -logp, advantage, 0, 0.0, torch.Generator(), clipped=clipped)
    assert ClipCov(ratio=1.0).tokens(tokens).tolist() == [[2.0, 2.0, -2.0, 0.0]]


def test_the_smallest_set_of_groups_that_holds_a_share_of_the_variance() -> None:
    """Variances of 0, 1/4, 1/3, 1/4, 0 and of one reward alone; earlier draws come first."""
    reward = np.array([1, 1, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1] + 3 * [np.nan], float)
    total = 1 / 4 + 1 / 3 + 1 / 4
    for share, kept in ((0.3, [2]), ((1 / 3) / total, [2]), (0.41, [1, 2]), (0.71, [1, 2, 3]), (1.0, [1, 2, 3])):
        batch = Batch(reward)
        left = np.flatnonzero(batch.shape_rollouts(shaping({"snr_top_p": {"share": share}})).reshape(6, 4).any(axis=1))
        assert left.tolist() == kept
    solved = Batch(np.repeat([0.0, 1, 0, 1, 1, 0], 4)).rollouts
    assert SNRTopP().advantage(solved) is solved.advantage
