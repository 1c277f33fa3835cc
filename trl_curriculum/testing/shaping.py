"""What every shaper does, as the trainers' frame applies it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from ..disk.state import StateError
from ..pool import Pool
from ..shaping import Hooks
from ..trainers.shaped_head import ShapedHead
from ..trainers.shaping import Shaping
from .batch import Batch, shaping
from .case import Case, through_disk


@dataclass(frozen=True)
class ShaperCase(Case):
    """
    A shaper, and what its invariants have to know of it.

    Args:
        neutral (*optional*):
            The same, or its spec, with options that leave everything as it is.
        another (*optional*):
            The same, or its spec, with other options.
        is_random (`bool`, *optional*, defaults to `False`):
            Whether it chooses tokens at random.
        adds (`bool`, *optional*, defaults to `False`):
            Whether it adds to rewards or advantages, so that signs can change, and groups whose rewards are all equal
            are moved.
        turns (`bool`, *optional*, defaults to `False`):
            Whether signs can change, though groups whose rewards are all equal stay as they are.
        learns (`bool`, *optional*, defaults to `False`):
            Whether it remembers earlier batches.
    """

    neutral: Any = None
    another: Any = None
    is_random: bool = False
    adds: bool = False
    turns: bool = False
    learns: bool = False

    def try_out(self) -> None:
        frame = self.frame()
        if self.is_for("GRPO"):
            Batch().shape_rollouts(frame)

    def frame(self) -> Shaping:
        """What applies it in a trainer."""
        return shaping(self.method)

    def experienced(self) -> Shaping:
        """The same, once it has seen a batch."""
        frame = self.frame()
        Batch().shape_rollouts(frame)
        return frame

    def is_for(self, trainer: str) -> bool:
        return trainer in self.method.trainers


def only(trainer: str) -> Callable[[Callable[[ShaperCase], None]], Callable[[ShaperCase], None]]:
    """Skips an invariant for shapers that are not for a trainer."""

    def wrap(invariant: Callable[[ShaperCase], None]) -> Callable[[ShaperCase], None]:
        @functools.wraps(invariant)
        def checked(case: ShaperCase) -> None:
            if not case.is_for(trainer):
                pytest.skip(f"it is not for {trainer}")
            invariant(case)

        return checked

    return wrap


def stock(batch: Batch) -> np.ndarray:
    """TRL's own advantages."""
    advantages: np.ndarray = batch.output["advantages"].numpy()
    return advantages


def results(batch: Batch, frame: Shaping) -> np.ndarray:
    """Advantages of rollouts and of tokens, and the loss: all that a frame makes of a batch."""
    made = batch.shape_rollouts(frame), *batch.train(frame)
    return np.concatenate([torch.as_tensor(one).detach().numpy().ravel() for one in made])


def it_binds_to_hooks(case: ShaperCase) -> None:
    assert isinstance(case.method.bind(Pool(10), 0), Hooks)


def a_state_continues_and_another_setting_is_refused(case: ShaperCase) -> None:
    first, second, fresh = case.frame(), case.frame(), case.frame()
    if case.is_for("GRPO"):
        Batch().shape_rollouts(first)
    saved = through_disk(first.state_dict())
    second.load_state_dict(saved)
    if case.is_for("GRPO"):
        expected, continued, begun = (results(Batch().surer(), frame) for frame in (first, second, fresh))
        np.testing.assert_array_equal(continued, expected)
        assert case.learns == (not np.array_equal(expected, begun))
        assert case.learns == any(first.state_dict()["learnt"].values())
    if case.another is not None:
        with pytest.raises(StateError, match=r"The checkpoint was written with shaping=.*: resume with the same"):
            shaping(case.another).load_state_dict(saved)
    with pytest.raises(StateError, match="and this run has shaping=none"):
        shaping().load_state_dict(saved)


@only("GRPO")
def neutral_options_change_nothing(case: ShaperCase) -> None:
    if case.neutral is None:
        pytest.skip("it has none")
    batch, frame = Batch(), shaping(case.neutral)
    np.testing.assert_array_equal(batch.shape_rollouts(frame), stock(batch))
    for ours, theirs in zip(batch.train(frame), batch.train(shaping()), strict=True):
        assert torch.equal(ours, theirs)


@only("GRPO")
def padding_changes_nothing(case: ShaperCase) -> None:
    batch, padded = Batch(), Batch().padded()
    np.testing.assert_array_equal(padded.shape_rollouts(case.frame()), batch.shape_rollouts(case.frame()))
    seen, loss = batch.train(case.frame())
    seen_padded, loss_padded = padded.train(case.frame())
    mask = batch.mask.bool()
    torch.testing.assert_close(seen_padded[:, :7][mask], seen[mask])
    torch.testing.assert_close(loss_padded, loss)


@only("GRPO")
def the_order_of_rollouts_does_not_matter(case: ShaperCase) -> None:
    rng = np.random.default_rng(1)
    order = np.concatenate([4 * k + rng.permutation(4) for k in rng.permutation(6)])
    batch, moved = Batch(), Batch().permuted(order)
    np.testing.assert_allclose(
        moved.shape_rollouts(case.frame()), batch.shape_rollouts(case.frame())[order], rtol=1e-6, atol=1e-9
    )
    if not case.is_random:
        torch.testing.assert_close(moved.train(case.frame())[0], batch.train(case.frame())[0][order])


@only("GRPO")
def signs_and_zeros_stay(case: ShaperCase) -> None:
    if case.adds or case.turns:
        pytest.skip("it adds")
    batch = Batch()
    shaped, given = batch.shape_rollouts(case.frame()), stock(batch)
    assert (shaped * given >= 0).all() and (shaped[given == 0] == 0).all()
    seen, given = batch.train(case.frame())[0].numpy(), given[:, None]
    assert (seen * given >= 0).all() and (seen[np.broadcast_to(given, seen.shape) == 0] == 0).all()


@only("GRPO")
def rollouts_without_a_reward_do_not_count(case: ShaperCase) -> None:
    reward = Batch().reward.copy()
    reward[[9, 13, 14, 15, 20, 21, 22, 23]] = np.nan
    shaped = Batch(reward).shape_rollouts(case.frame())
    assert (shaped[np.isnan(reward)] == 0).all() and np.isfinite(shaped).all()
    assert (Batch(np.full(24, np.nan)).shape_rollouts(case.frame()) == 0).all()


@only("GRPO")
def groups_with_equal_rewards_stay_dead_unless_it_says_otherwise(case: ShaperCase) -> None:
    assert case.adds == (Batch().shape_rollouts(case.experienced())[:8] != 0).any()


@only("GRPO")
def batches_without_a_token_are_left_alone(case: ShaperCase) -> None:
    batch = Batch()
    batch.mask = torch.zeros_like(batch.mask)
    assert np.isfinite(batch.shape_rollouts(case.frame())).all()
    for ours, theirs in zip(batch.train(case.frame()), batch.train(shaping()), strict=True):
        assert torch.equal(ours, theirs)


@only("GRPO")
def advantages_have_no_gradient_and_the_loss_has(case: ShaperCase) -> None:
    batch, frame = Batch(), case.frame()
    inputs = batch.output
    before = inputs["advantages"].clone()
    seen, loss = batch.train(frame, inputs)
    assert not seen.requires_grad and loss.requires_grad and loss.shape == ()
    assert torch.equal(inputs["advantages"], before), "the buffer is trained on again"


@only("GRPO")
def random_choices_depend_on_the_micro_step_alone(case: ShaperCase) -> None:
    batch, one = Batch(), case.frame()
    first = batch.train(one)[0]
    torch.manual_seed(5)
    assert torch.equal(batch.train(case.frame())[0], first)
    one.trainer._step += 1
    assert torch.equal(batch.train(one)[0], first) != case.is_random


@only("GRPO")
def evaluation_is_not_shaped(case: ShaperCase) -> None:
    batch, frame = Batch(), case.frame()
    frame.trainer.model.training = False
    for ours, theirs in zip(batch.train(frame), batch.train(shaping()), strict=True):
        assert torch.equal(ours, theirs)
    frame.read(["a"])
    assert frame.read_off == {}


@only("SFT")
def values_stay_and_gradients_are_weighed(case: ShaperCase) -> None:
    from trl.trainer.utils import FusedCausalLMOutput

    batch, frame = Batch(), case.frame()
    logp = batch.logp.clone().requires_grad_()

    def head(**kwargs: Any) -> Any:
        return FusedCausalLMOutput(log_probs=logp, entropy=batch.entropy, label_mask=batch.mask.bool())

    shaped = ShapedHead(head, frame, 0)(input_ids=batch.ids, fused_lm_head=True)
    assert torch.equal(shaped.log_probs, logp)
    (gradient,) = torch.autograd.grad((shaped.log_probs * batch.mask).sum(), logp)
    assert (gradient >= 0).all() and (gradient[batch.mask == 0] == 0).all() and gradient.sum() > 0


SHAPERS = [
    it_binds_to_hooks,
    a_state_continues_and_another_setting_is_refused,
    neutral_options_change_nothing,
    padding_changes_nothing,
    the_order_of_rollouts_does_not_matter,
    signs_and_zeros_stay,
    rollouts_without_a_reward_do_not_count,
    groups_with_equal_rewards_stay_dead_unless_it_says_otherwise,
    batches_without_a_token_are_left_alone,
    advantages_have_no_gradient_and_the_loss_has,
    random_choices_depend_on_the_micro_step_alone,
    evaluation_is_not_shaped,
    values_stay_and_gradients_are_weighed,
]
