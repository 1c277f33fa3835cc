"""Methods of tokens and losses: numbers worked out by hand, and gradients of losses that are written out here."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trl_curriculum import Pool
from trl_curriculum.shaping import CEEH, TEARL, Ares, ClipB, KLCov, Pear, Siren, Spine
from trl_curriculum.signals import Rollouts, Tokens
from trl_curriculum.testing.batch import Batch, shaping


MASK = torch.tensor([[True, True, True, False], [True, True, False, False], [True, True, True, True]])
ADVANTAGE = torch.tensor([1.0, -0.5, 0.25], dtype=torch.float64)[:, None].repeat(1, 4)


class Model:
    """Logits of twelve tokens, of which nine count, under now's model and under that which generated."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(3)
        self.logits = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64).requires_grad_()
        self.ids = torch.randint(0, 6, (3, 4), generator=generator)
        self.moved = 0.3 * torch.randn(3, 4, generator=generator, dtype=torch.float64)

    def tokens(self, **changes: Any) -> Tokens:
        log_p = self.logits.log_softmax(-1)
        logp, entropy = log_p.gather(2, self.ids[..., None])[..., 0], -(log_p.exp() * log_p).sum(-1)
        given = {"old_logp": logp.detach() - self.moved} | changes
        return Tokens(self.ids, MASK, logp, entropy, ADVANTAGE, 0, 0.0, torch.Generator(), **given)

    def gradient(self, loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, self.logits)[0]

    def counted(self) -> list[tuple[int, int, torch.Tensor, torch.Tensor, float]]:
        """Row, column, log-probability, entropy and covariance of each token that counts, one by one."""
        found = []
        for row, column in MASK.nonzero().tolist():
            p = torch.softmax(self.logits[row, column], -1)
            found.append((row, column, p[self.ids[row, column]].log(), -(p * p.log()).sum()))
        advantage = [float(ADVANTAGE[row, column]) for row, column, *_ in found]
        logp = [one[2].item() for one in found]
        away = [(a - np.mean(advantage)) * (x - np.mean(logp)) for a, x in zip(advantage, logp, strict=True)]
        return [(*one, c) for one, c in zip(found, away, strict=True)]


def test_clip_b_follows_the_entropy_to_first_order() -> None:
    """A step of eps up the log-probability of token a changes the entropy by -eps (S_a - sum p S)."""
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    p = logits.softmax(0)
    entropy = -(p * p.log()).sum()
    (slope,) = torch.autograd.grad(entropy, logits)
    p, entropy = p.detach(), entropy.item()
    signal = p * (entropy + p.log())
    for a in range(4):
        step = torch.eye(4, dtype=torch.float64)[a] - p  # gradient of log p_a
        assert float(slope @ step) == pytest.approx(-float(signal[a] - (p * signal).sum()), abs=1e-12)
        assert (signal[a] > 0) == (p[a] > math.exp(-entropy))


def test_clip_b_keeps_what_is_pushed_up_and_what_is_near_the_mean() -> None:
    p, H = torch.tensor([[0.9, 0.5, 0.01, 0.5]]), torch.full((1, 4), 0.6)
    true, advantage = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[1.0, 1.0, 0.0, -1.0]])
    batch = Tokens(true, true, p.log(), H, advantage, 0, 0.0, torch.Generator())
    assert ClipB(mu=0.5).tokens(batch).tolist() == [[1.0, 1.0, 0.0, 0.0]]
    assert ClipB(mu=0.58).tokens(batch).tolist() == [[1.0, 1.0, 0.0, 0.0]]  # .1246 below, of .2120
    assert ClipB(mu=0.59).tokens(batch).tolist() == [[1.0, 1.0, 0.0, -1.0]]


def test_the_gradient_of_kl_cov() -> None:
    model = Model()
    largest = sorted(model.counted(), key=lambda one: one[4])[-3:]
    by_hand = sum((one[2] - one[2].detach() + model.moved[one[0], one[1]]).abs() for one in largest) / 9
    loss = KLCov(ratio=0.4, coef=0.7).loss(model.tokens())
    assert loss.item() == pytest.approx(0.7 * by_hand.item())
    gradient = model.gradient(loss)
    torch.testing.assert_close(gradient, model.gradient(0.7 * by_hand))
    assert gradient.abs().max() > 0.01


def test_kl_cov_does_not_take_rounding_for_a_move() -> None:
    model = Model()
    for moved, band, moves in ((0.0, 0.0, False), (1e-6, 0.0, True), (1e-6, 1e-3, False), (2e-3, 1e-3, True)):
        tokens = model.tokens()
        tokens.old_logp = tokens.logp.detach() - moved
        gradient = model.gradient(KLCov(ratio=1.0, dead_band=band).loss(tokens))
        assert bool((gradient != 0).any()) == moves


def test_the_gradient_of_tea_rl() -> None:
    model = Model()
    counted = model.counted()
    by_hand: Any = 0.0
    for row, _, _, entropy, c in counted:
        softmax = math.exp(c) / sum(math.exp(other[4]) for other in counted if other[0] == row)
        by_hand = by_hand - 0.5 * min(10 * softmax, 4.0) * entropy / 9
    assert max(math.exp(c) for *_, c in counted) > 1, "nothing is at the limit"
    loss = TEARL(largest=4.0, coef=0.5).loss(model.tokens())
    assert loss.item() == pytest.approx(by_hand.item())
    torch.testing.assert_close(model.gradient(loss), model.gradient(by_hand))


def test_siren_holds_what_it_measured_first_of_all_processes() -> None:
    model, group = Model(), np.arange(4)
    bound: Any = Siren(coef=2.0, quantile=0.5).bind(Pool(1), 0)
    assert bound.measures and float(bound.loss(model.tokens())) == 0
    value = bound.measure(model.tokens().detach())["peak_entropy"]
    entropies = {row: sorted(float(one[3]) for one in model.counted() if one[0] == row) for row in range(3)}
    peaks = [np.mean(of[len(of) // 2 :]) for of in entropies.values()]  # of 3, 2 and 4 tokens: 2, 1 and 2 of them
    np.testing.assert_allclose(value, peaks)
    everyone = {"peak_entropy": np.array([*peaks, np.nan])}  # the last has no token
    zero = np.zeros(4)
    bound.observe(Rollouts(group, group, 0, reward=zero, advantage=zero, length=group, measured=everyone))
    assert bound.anchor == pytest.approx(np.mean(peaks)) and not bound.measures
    loss = bound.loss(model.tokens())
    assert loss.item() == pytest.approx(0, abs=1e-20) and model.gradient(loss).abs().max() < 1e-9
    bound.anchor = 0.5
    of_row = [[one[3] for one in model.counted() if one[0] == row] for row in range(3)]
    mean = sum(sum(sorted(of)[len(of) // 2 :]) / (len(of) - len(of) // 2) for of in of_row) / 3
    loss = bound.loss(model.tokens())
    assert loss.item() == pytest.approx(2.0 * (mean - 0.5).item() ** 2)
    torch.testing.assert_close(model.gradient(loss), model.gradient(2.0 * (mean - 0.5) ** 2))


def test_siren_measures_once() -> None:
    frame, batch = shaping("siren"), Batch()
    batch.shape_rollouts(frame)
    anchor = frame.metrics()["shaping/siren/anchor"]
    output = batch.output
    del output["old_per_token_logps"]  # to measure, the frame would have to make a pass, which this trainer cannot
    frame.shape_rollouts(output, batch.rollouts)
    batch.surer().train(frame)
    values = frame.metrics()
    assert values["shaping/siren/anchor"] == anchor
    assert values["shaping/siren/loss"] == pytest.approx(0.005 * (anchor / 2) ** 2, rel=1e-4)


def test_spine_trains_forks_and_pulls_them_into_the_band() -> None:
    entropy = torch.arange(1.0, 11.0).repeat(2, 1).requires_grad_()
    mask = torch.ones(2, 10, dtype=torch.bool)
    mask[1] = False
    batch = Tokens(mask, mask, -entropy, entropy, torch.full((2, 10), -3.0), 0, 0.0, torch.Generator())
    method = Spine(coef=0.5)  # forks 9 and 10; the band is 9.1 to 9.5
    assert method.tokens(batch.detach())[0].tolist() == [0.0] * 8 + [-3.0] * 2
    loss = method.loss(batch)
    assert loss.item() == pytest.approx(0.5 * (0.1 + 0.5) / 2)
    (gradient,) = torch.autograd.grad(loss, entropy)
    assert gradient[0].tolist() == [0.0] * 8 + [-0.25, 0.25] and not gradient[1].any()


def test_ceeh_never_turns_an_advantage() -> None:
    bound: Any = CEEH().bind(Pool(2), 0)
    bound.hard[1] = True
    mask, entropy = torch.ones(2, 3, dtype=torch.bool), torch.full((2, 3), 2.0)
    advantage = torch.tensor([[-1.0, 0.0, 4.0]]).repeat(2, 1)
    row = torch.tensor([0, 1])
    batch = Tokens(mask, mask, -entropy, entropy, advantage, 0, 0.0, torch.Generator(), row=row)
    expected = [-0.5, 0.0, 4.8]
    torch.testing.assert_close(bound.tokens(batch), torch.tensor([[-1.0, 0.0, 4.0], expected]))


def test_ares_counts_whole_windows() -> None:
    bound: Any = Ares(window=2, quantile=0.5).bind(Pool(1), 0)
    entropy = torch.tensor([[1.0, 3.0, 1.0, 1.0], [4.0, 0.0, 9.0, 9.0], [9.0, 9.0, 9.0, 9.0]])
    mask = torch.tensor([[True] * 4, [True, True, False, False], [True, False, False, False]])
    batch = Tokens(mask, mask, -entropy, entropy, entropy, 0, 0.0, torch.Generator())
    measured = bound.measure(batch)
    assert measured["long"].tolist() == [0, 0, 0], "there is no threshold yet"
    assert measured["quantile"][:2].tolist() == [2.0, 2.0] and measured["quantile"][2].isnan()
    bound.threshold = 1.5
    assert bound.measure(batch)["long"].tolist() == [2, 1, 0]
    wide: Any = Ares(window=64).bind(Pool(1), 0)
    assert wide.measure(batch)["quantile"].isnan().all()


def test_pear_tells_thinking_from_the_answer() -> None:
    bound: Any = Pear(end="</t>").bind(Pool(1), 0)
    bound.meet(None, SimpleNamespace(convert_tokens_to_ids={"</t>": 9}.get, unk_token_id=None))
    ids = torch.tensor([[5, 6, 9, 7, 9, 7], [5, 6, 7, 7, 7, 7], [9, 6, 7, 7, 7, 7], [5, 6, 7, 9, 7, 7]])
    entropy = torch.tensor([[0.4, 0.6, 8.0, 0.2, 8.0, 0.4]]).repeat(4, 1)
    mask = torch.ones(4, 6, dtype=torch.bool)
    mask[3, 3:] = False
    measured = bound.measure(Tokens(ids, mask, -entropy, entropy, entropy, 0, 0.0, torch.Generator()))
    torch.testing.assert_close(measured["thinking"][0], torch.tensor(0.5))
    torch.testing.assert_close(measured["answer"][0], torch.tensor(0.3))
    assert measured["answer"][1].isnan() and measured["thinking"][2].isnan() and measured["answer"][3].isnan()


@pytest.mark.parametrize("unknown", [None, 3])
def test_pear_needs_the_end_of_thinking_to_be_a_token(unknown: int | None) -> None:
    tokenizer = SimpleNamespace(convert_tokens_to_ids=lambda token: unknown, unk_token_id=unknown)
    for given in (tokenizer, SimpleNamespace(tokenizer=tokenizer)):
        with pytest.raises(ValueError, match=r"by end='</think>', which is no token of this model's tokenizer: name"):
            Pear().bind(Pool(1), 0).meet(None, given)
