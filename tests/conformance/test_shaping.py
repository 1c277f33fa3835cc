"""What every shaper must do, built in or plugged in, as the frame applies it."""

from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from shaping_cases import CASES, GRPO, SFT, Batch, shaping, trainer

from trl_curriculum.disk.state import StateError, read_state, write_state
from trl_curriculum.pool import Pool
from trl_curriculum.shaping import SHAPING, ClipCov, Hooks
from trl_curriculum.signals import Tokens
from trl_curriculum.trainers.shaped_head import ShapedHead
from trl_curriculum.trainers.shaping import Shaping


def make(name: str) -> Shaping:
    return shaping(CASES[name].spec)


def stock(batch: Batch) -> np.ndarray:
    return batch.output["advantages"].numpy()


@pytest.mark.parametrize("name", CASES)
class TestEveryShaper:
    def test_it_says_what_it_is(self, name: str) -> None:
        method = SHAPING.make(CASES[name].spec)
        assert method.summary().endswith(".") and set(method.trainers) <= {"GRPO", "SFT"}
        assert isinstance(method.bind(Pool(10), 0), Hooks)
        for option in fields(method):
            assert option.metadata["help"] and option.metadata["source"], option.name
        assert SHAPING.make(method.spec if method.name in SHAPING.names() else method) == method

    def test_a_state_continues_and_another_setting_is_refused(self, name: str, tmp_path: Path) -> None:
        batch, first, second = Batch(), make(name), make(name)
        fresh = batch.shape_rollouts(make(name)) if name in GRPO else None
        if name in GRPO:
            batch.shape_rollouts(first)
        write_state(tmp_path / "state", first.state_dict())
        second.load_state_dict(read_state(tmp_path / "state"))
        if name in GRPO:
            expected = batch.shape_rollouts(first)
            np.testing.assert_array_equal(batch.shape_rollouts(second), expected)
            assert CASES[name].learns == (not np.array_equal(expected, fresh))
            assert CASES[name].learns == any(first.state_dict()["learnt"].values())
        if CASES[name].another is not None:
            with pytest.raises(StateError, match=r"The checkpoint was written with shaping=.*: resume with the same"):
                shaping(CASES[name].another).load_state_dict(read_state(tmp_path / "state"))
        with pytest.raises(StateError, match="and this run has shaping=none"):
            shaping().load_state_dict(read_state(tmp_path / "state"))


@pytest.mark.parametrize("name", GRPO)
class TestEveryShaperOfGRPO:
    def test_neutral_options_change_nothing(self, name: str) -> None:
        if CASES[name].neutral is None:
            pytest.skip("it has none")
        batch, frame = Batch(), shaping(CASES[name].neutral)
        np.testing.assert_array_equal(batch.shape_rollouts(frame), stock(batch))
        for ours, theirs in zip(batch.train(frame), batch.train(shaping()), strict=True):
            assert torch.equal(ours, theirs)

    def test_padding_changes_nothing(self, name: str) -> None:
        batch, padded = Batch(), Batch().padded()
        np.testing.assert_array_equal(padded.shape_rollouts(make(name)), batch.shape_rollouts(make(name)))
        seen, loss = batch.train(make(name))
        seen_padded, loss_padded = padded.train(make(name))
        mask = batch.mask.bool()
        torch.testing.assert_close(seen_padded[:, :7][mask], seen[mask])
        torch.testing.assert_close(loss_padded, loss)

    def test_the_order_of_rollouts_does_not_matter(self, name: str) -> None:
        rng = np.random.default_rng(1)
        order = np.concatenate([4 * k + rng.permutation(4) for k in rng.permutation(6)])
        batch, moved = Batch(), Batch().permuted(order)
        np.testing.assert_allclose(
            moved.shape_rollouts(make(name)), batch.shape_rollouts(make(name))[order], rtol=1e-6
        )
        if not CASES[name].is_random:
            torch.testing.assert_close(moved.train(make(name))[0], batch.train(make(name))[0][order])

    def test_signs_and_zeros_stay(self, name: str) -> None:
        if CASES[name].adds:
            pytest.skip("it adds")
        batch = Batch()
        shaped, given = batch.shape_rollouts(make(name)), stock(batch)
        assert (shaped * given >= 0).all() and (shaped[given == 0] == 0).all()
        seen, given = batch.train(make(name))[0].numpy(), given[:, None]
        assert (seen * given >= 0).all() and (seen[np.broadcast_to(given, seen.shape) == 0] == 0).all()

    def test_rollouts_without_a_reward_do_not_count(self, name: str) -> None:
        reward = Batch().reward.copy()
        reward[[9, 13, 14, 15, 20, 21, 22, 23]] = np.nan
        shaped = Batch(reward).shape_rollouts(make(name))
        assert (shaped[np.isnan(reward)] == 0).all() and np.isfinite(shaped).all()
        assert (Batch(np.full(24, np.nan)).shape_rollouts(make(name)) == 0).all()

    def test_groups_with_equal_rewards_stay_dead_unless_it_says_otherwise(self, name: str) -> None:
        assert CASES[name].adds == (Batch().shape_rollouts(make(name))[:8] != 0).any()

    def test_batches_without_a_token_are_left_alone(self, name: str) -> None:
        batch = Batch()
        batch.mask = torch.zeros_like(batch.mask)
        assert np.isfinite(batch.shape_rollouts(make(name))).all()
        for ours, theirs in zip(batch.train(make(name)), batch.train(shaping()), strict=True):
            assert torch.equal(ours, theirs)

    def test_advantages_have_no_gradient_and_the_loss_has(self, name: str) -> None:
        batch, frame = Batch(), make(name)
        inputs = batch.output
        before = inputs["advantages"].clone()
        seen, loss = batch.train(frame, inputs)
        assert not seen.requires_grad and loss.requires_grad and loss.shape == ()
        assert torch.equal(inputs["advantages"], before), "the buffer is trained on again"

    def test_random_choices_depend_on_the_micro_step_alone(self, name: str) -> None:
        batch, one = Batch(), make(name)
        first = batch.train(one)[0]
        torch.manual_seed(5)
        assert torch.equal(batch.train(make(name))[0], first)
        one.trainer._step += 1
        assert torch.equal(batch.train(one)[0], first) != CASES[name].is_random

    def test_evaluation_is_not_shaped(self, name: str) -> None:
        batch, frame = Batch(), make(name)
        frame.trainer.model.training = False
        for ours, theirs in zip(batch.train(frame), batch.train(shaping()), strict=True):
            assert torch.equal(ours, theirs)
        frame.read(["a"])
        assert frame._read == {}


@pytest.mark.parametrize("name", SFT)
class TestEveryShaperOfSFT:
    def test_values_stay_and_gradients_are_weighed(self, name: str) -> None:
        from trl.trainer.utils import FusedCausalLMOutput

        batch, frame = Batch(), make(name)
        logp = batch.logp.clone().requires_grad_()

        def head(**kwargs: Any) -> Any:
            return FusedCausalLMOutput(log_probs=logp, entropy=batch.entropy, label_mask=batch.mask.bool())

        shaped = ShapedHead(head, frame, 0)(input_ids=batch.ids, fused_lm_head=True)
        assert torch.equal(shaped.log_probs, logp)
        (gradient,) = torch.autograd.grad((shaped.log_probs * batch.mask).sum(), logp)
        assert (gradient >= 0).all() and (gradient[batch.mask == 0] == 0).all() and gradient.sum() > 0


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
