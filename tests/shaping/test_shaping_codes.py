"""Shapers beside the public codes of their papers: what those made of the same tensors, see docs/results/codes.md."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from codes import case

from trl_curriculum import Pool
from trl_curriculum.rollouts import Truncate
from trl_curriculum.shaping import CEEH, DRPO, TEARL, Canon, ClipCov, Entrocraft, EntropySFT, KLCov, Lead, Siren
from trl_curriculum.signals import FloatArray, Rollouts, Tokens


Given = dict[str, Any]


def tensor(value: Any) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def close(ours: Any, theirs: Any, rtol: float = 1e-6, atol: float = 1e-8) -> None:
    if isinstance(ours, torch.Tensor):
        ours = ours.detach().numpy()
    np.testing.assert_allclose(ours, np.array(theirs, float), rtol=rtol, atol=atol)


def tokens(given: Given, **more: Any) -> Tokens:
    """A device batch, whose log-probabilities and entropies have a gradient."""
    logp = tensor(given.get("logp", given.get("entropy"))).requires_grad_()
    entropy = tensor(given["entropy"]).requires_grad_() if "entropy" in given else -logp
    mask = torch.tensor(given["mask"]).bool() if "mask" in given else torch.ones_like(logp).bool()
    advantage = tensor(given.get("advantage", [1.0] * len(logp)))[:, None].repeat(1, logp.shape[1])
    if "moved" in given:
        more["old_logp"] = logp.detach() - tensor(given["moved"])
    return Tokens(mask, mask, logp, entropy, advantage, 0, 0.0, torch.Generator().manual_seed(0), **more)


def rollouts(given: Given, **more: Any) -> Rollouts:
    """A generation batch, with the advantages that TRL gives its rewards."""
    reward, group = np.array(given["reward"]), np.array(given["group"])
    length = np.array(given.get("length", [1] * len(group)))
    plain = Rollouts(group, group, 0, reward=reward, advantage=reward, length=length)
    return Rollouts(group, group, 0, reward=reward, advantage=plain.advantages_of(reward), length=length, **more)


def bound(method: Any, rows: int = 1, longest: int = 100) -> Any:
    made = method.bind(Pool(rows), 0)
    made.meet(SimpleNamespace(max_completion_length=longest), None)
    return made


def over_tokens(value: FloatArray, length: list[int]) -> FloatArray:
    """Brought to mean 0 and variance 1 over the tokens of rollouts of such lengths."""
    n = np.array(length)
    away = value - np.average(value, weights=n)
    return away / np.sqrt(np.average(away**2, weights=n) * n.sum() / (n.sum() - 1) + 1e-8)


def test_clip_cov() -> None:
    given, theirs = case("clip_cov")
    seen = tokens(given)
    assert seen.old_logp is not None
    ratio = (seen.logp - seen.old_logp).exp()
    clip, up = given["clip"], seen.advantage > 0
    seen.clipped = torch.where(up, ratio > 1 + clip, ratio < 1 - clip)
    zeroed = []
    for share in given["ratio"]:
        left = ClipCov(ratio=share, low=given["low"], high=given["high"]).tokens(seen)
        zeroed.append(int(((left == 0) & seen.mask).sum()))
    assert zeroed == theirs["zeroed"]
    trained = -(left * ratio * ~seen.clipped)[seen.mask].mean()
    close(torch.autograd.grad(trained, seen.logp)[0], theirs["gradient"])


def kl_cov(given: Given, dead_band: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient, without PPO's clip."""
    seen = tokens(given)
    assert seen.old_logp is not None
    plain = -seen.mean(seen.advantage * (seen.logp - seen.old_logp).exp())
    loss = plain + KLCov(ratio=given["ratio"], coef=given["coef"], dead_band=dead_band).loss(seen)
    return loss, torch.autograd.grad(loss, seen.logp)[0]


def test_kl_cov() -> None:
    given, theirs = case("kl_cov")
    loss, gradient = kl_cov(given, KLCov().dead_band)
    close(loss, theirs["loss"])
    close(gradient, theirs["gradient"])


def test_kl_cov_still() -> None:
    """The gradient of |x| is its sign however small x is: the dead band, which is ours, is there for rounding."""
    given, theirs = case("kl_cov_still")
    loss, gradient = kl_cov(given, 0.0)
    close(loss, theirs["loss"])
    close(gradient, theirs["gradient"])
    away = tensor(theirs["gradient"]) - kl_cov(given, KLCov().dead_band)[1]
    assert away[away.abs() > 1e-9].tolist() == pytest.approx([1 / 20] * 4)


def test_kl_cov_capped() -> None:
    """Of 40 % it makes min(40, 11) %."""
    given, theirs = case("kl_cov_capped")
    close(kl_cov(given | {"ratio": 0.11}, 0.0)[1], theirs["gradient"])
    away = kl_cov(given, 0.0)[1] - tensor(theirs["gradient"])
    assert int((away.abs() > 1e-9).sum()) == 3


def entrocraft(given: Given, reward: list[float]) -> list[FloatArray]:
    found = []
    for entropy, step in given["entropy_and_step_of_100"]:
        measured = {"entropy": np.full(len(reward), 3 * entropy), "tokens": np.full(len(reward), 3.0)}
        seen = rollouts(given | {"reward": reward}, measured=measured, progress=step / 100)
        found.append(Entrocraft().advantage(seen))
    return found


def test_entrocraft_inside() -> None:
    given, theirs = case("entrocraft_inside")
    ours = entrocraft(given, given["reward"])
    close(ours, theirs["std + 1e-4"])
    assert 1e-4 < np.abs(np.array(ours) - theirs["std + 1e-6"]).max() < 3.1e-4


def test_entrocraft_outside() -> None:
    """The code's rule for what is kept goes by the reward's sign, ours, as the paper's, by the advantage's."""
    given, theirs = case("entrocraft_outside")
    ours, rewards = entrocraft(given, given["reward"]), np.array(given["reward"])
    solved = np.array(given["group"]) == 1
    for one, other, above in zip(ours, np.array(theirs["advantage"]), (True, False, False, True), strict=True):
        assert ((one != 0) == (other != 0))[~solved].all(), "the same of the mixed group"
        assert (other[other != 0] == rewards[other != 0]).all() and (one[solved] == 0).all()
        assert (other[solved] == above).all()
    binary = entrocraft(given, [float(reward > 0) for reward in given["reward"]])
    for one, other, above in zip(binary, np.array(theirs["of 0 and 1"]), (True, False, False, True), strict=True):
        assert (other.any() == above) and one.any()


def test_canon() -> None:
    given, theirs = case("canon")
    seen = rollouts(given, measured={"entropy": np.array(given["entropy"])})
    for by in ("entropy", "length"):
        close([Canon(by=by, mu=mu).advantage(seen) for mu in given["mu"]], theirs[by])  # type: ignore[arg-type]


def test_canon_ties() -> None:
    given, theirs = case("canon_ties")
    ours = Canon(by="length").advantage(rollouts(given))
    close(ours, [5 / 9, -4 / 9, 5 / 9, -2 / 3, 0])  # each of the three is to a third in the upper half
    assert theirs["advantage"] == [0.5, -0.5, 0.5, -0.5, 1.0]
    assert theirs["reversed"][:4] == [-0.5, 0.5, -0.5, 0.5]


def test_lead() -> None:
    given, theirs = case("lead")
    made = bound(Lead(least=given["least"]), longest=given["longest"])
    for k, batch in enumerate(given["batches"]):
        ours = over_tokens(made.advantage(rollouts(batch)), batch["length"])
        as_trl, as_it_is = theirs["std + 1e-4"][k], theirs["std + 1e-6"][k]
        close(ours, as_trl["advantage"], rtol=1e-5)  # its square roots have 1e-8 inside
        close(made.w, as_trl["w"], rtol=1e-5)
        assert 1e-5 < np.abs(ours - as_it_is["advantage"]).max() < 5e-4 and as_it_is["w"] == as_trl["w"]


def test_lead_short() -> None:
    given, theirs = case("lead_short")
    close(
        over_tokens(bound(Lead(least=1000), longest=8000).advantage(rollouts(given)), given["length"]),
        theirs["advantage"],
    )
    assert np.argmax(theirs["advantage"]) == 3  # the longest
    free = bound(Lead(), longest=8000)
    assert np.argmax(free.advantage(rollouts(given))) == 1 and free.w == theirs["w"]


def test_lead_nothing() -> None:
    """sqrt(var + 1e-8) is over a mean of 0 where all are wrong; where all are right and alike both shares are 0."""
    given, theirs = case("lead_nothing")
    for name, moved in (("wrong", 0.95 * 0.5 + 0.05), ("alike", 0.95 * 0.5)):
        made = bound(Lead(least=1000), longest=8000)
        made.advantage(rollouts(given[name]))
        assert made.w == 0.5 and theirs[name] == pytest.approx(moved)


def test_dot() -> None:
    given, theirs = case("dot")
    ours = Truncate().truncate(rollouts(given)).tolist()
    assert ours[:-1] == theirs["kept"][:-1] and 605 in ours and 755 in ours
    assert (ours[-1], theirs["kept"][-1]) == (687, 800)  # of a group with a reward of 1.5
    one = given | {"reward": [min(reward, 1.0) for reward in given["reward"]]}
    assert Truncate().truncate(rollouts(one)).tolist() == ours


def test_ceeh_tokens() -> None:
    given, theirs = case("ceeh_tokens")
    made = bound(CEEH(), 3)
    made.hard[:] = given["hard"]
    close(made.tokens(tokens(given, row=torch.arange(3))), theirs["advantage"])


def test_ceeh_records() -> None:
    given, theirs = case("ceeh_records")
    made = bound(CEEH(), given["rows"])
    for batch, half, begun in zip(given["batches"], theirs["from a half"], theirs["from -1, as it is"], strict=True):
        seen = rollouts(batch | {"group": np.repeat(batch["row"], 4)})
        seen = Rollouts(
            seen.row, np.repeat([0, 1, 2], 4), 0, reward=seen.reward, advantage=seen.advantage, length=seen.length
        )
        close(np.nan_to_num(made.reward(seen)), half["added"], atol=1e-7)
        made.observe(seen)
        close(made.hard[batch["row"]], half["hard"])
        close(made.accuracy, half["accuracy"])
        close(np.nan_to_num(made.shortest), half["shortest"])
        assert not any(begun["hard"])
    assert theirs["from -1, as it is"][0]["accuracy"] == [0.5, 1, 0, -1]


def drpo(given: Given, tau: float) -> tuple[FloatArray, FloatArray]:
    """The gradient of each rollout's summed log-probability in TRL's loss, and without PPO's ratios."""
    mask = torch.arange(given["longest"])[None] < torch.tensor(given["length"])[:, None]
    logp = tensor(given["logp"]).requires_grad_()
    old = logp.detach() - tensor(given.get("moved", np.zeros_like(given["logp"])))
    made = bound(DRPO(shorter=given["lambda"], tau=tau), longest=given["longest"])
    measured = made.measure(Tokens(mask, mask, old, -old, old, 0, 0.0, torch.Generator()))
    advantage = tensor(made.advantage(rollouts(given, measured={"score": measured["score"].numpy()})))
    of_row = advantage[:, None] * (logp - old).exp() * mask / mask.sum(1, keepdim=True)
    return torch.autograd.grad(-of_row.sum(1).mean(), logp)[0].sum(1).numpy(), -advantage.numpy() / len(advantage)


def test_drpo() -> None:
    given, theirs = case("drpo")
    ours, without = drpo(given, given["tau"])
    close(ours, theirs["gradient of each rollout's summed log-probability"])
    close(ours, without)


def test_drpo_moved() -> None:
    more, theirs = case("drpo_moved")
    given = case("drpo")[0] | more
    ours, without = drpo(given, given["tau"])
    right = np.array(given["reward"]) == 1
    close(without[right], np.array(theirs["without KL"])[right])
    assert np.abs(ours - without)[right].max() > 0.001, "PPO's ratios"
    assert np.abs(without - theirs["without KL"])[~right].max() > 0.005, "scores of another model"
    still = {name: value for name, value in given.items() if name != "moved"}  # as if it had generated
    close(drpo(still, given["tau"])[1], theirs["without KL"])
    assert theirs["kl"] > 1e-4  # from which on the penalty of its loss acts


def siren(given: Given) -> tuple[FloatArray, torch.Tensor, torch.Tensor]:
    made, seen = bound(Siren()), tokens(given)
    made.anchor = given["anchor"]
    loss = made.loss(seen)
    return made.measure(seen)["peak_entropy"].detach().numpy(), loss, torch.autograd.grad(loss, seen.entropy)[0]


def test_siren() -> None:
    given, theirs = case("siren")
    entropy, loss, gradient = siren(given)
    close(entropy.mean(), theirs["entropy"])
    close(loss, theirs["term"])
    close(gradient, theirs["gradient"])


def test_siren_at_the_quantile() -> None:
    """The code has > where ours has >=, by which every completion has a token that counts."""
    given, theirs = case("siren_at_the_quantile")
    assert siren(given)[0].tolist() == [1.75, 1.25]  # of 2 and 1.5, and of the only one
    assert theirs["entropy"] == (2 + 0) / 2


def test_siren_nucleus() -> None:
    given, theirs = case("siren_nucleus")
    p = tensor(given["logits"]).softmax(-1)
    close(-(p * p.log()).sum(-1), theirs["full"])
    assert p[0].max() < given["nucleus"] and theirs["nucleus"][0] == pytest.approx(0, abs=1e-6)


def entropy_sft(logits: Any, labels: Any, share: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient."""
    made, label = tensor(logits).requires_grad_(), torch.tensor(labels)[:, 1:]
    log_p, mask = made[:, :-1].log_softmax(-1), label >= 0
    logp, entropy = log_p.gather(-1, label.clamp(min=0)[..., None])[..., 0], -(log_p.exp() * log_p).sum(-1)
    seen = Tokens(label, mask, logp, entropy, torch.ones_like(logp), 0, 0.0, torch.Generator())
    loss = seen.mean(-logp * EntropySFT(share=share).tokens(seen.detach()))
    return loss, torch.autograd.grad(loss, made)[0]


def test_entropy_sft() -> None:
    given, theirs = case("entropy_sft")
    loss, gradient = entropy_sft(given["logits"], given["labels"], given["share"])
    close(loss, theirs["loss"])
    close(gradient, theirs["gradient"])


def test_entropy_sft_few() -> None:
    more, theirs = case("entropy_sft_few")
    given = case("entropy_sft")[0]
    close(entropy_sft(given["logits"], given["labels"], more["share"])[0], theirs["loss"])
    assert theirs["with the number"] == "inf"


def test_tea_rl() -> None:
    given, theirs = case("tea_rl")
    seen = tokens(given)
    loss = TEARL().loss(seen)
    close(loss, theirs["loss"])
    close(torch.autograd.grad(loss, seen.entropy)[0], theirs["gradient of entropy"])
    assert np.abs(theirs["gradient of logp"]).max() > 0.3, "and none here"
    assert torch.autograd.grad(TEARL().loss(seen), seen.logp, allow_unused=True)[0] is None


def test_tea_rl_empty() -> None:
    given, theirs = case("tea_rl_empty")
    close(TEARL().loss(tokens(given)), theirs["loss"])


def test_tea_rl_is_not_in_the_loss() -> None:
    """Ours is: `test_tea_rl` has it in a gradient."""
    given, theirs = case("tea_rl_is_not_in_the_loss")
    assert theirs["vanilla"] == theirs["other, mode set"] == given["policy gradient"]
    assert theirs["other"].startswith("NameError")
    assert theirs["other, mode set, coefficient .5"] == given["policy gradient"] - 0.5 * given["plain entropy"]
