"""Attention entropy: numbers worked out by hand, and which layer is looked at, and when."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trl_curriculum.shaping import AttentionEntropy
from trl_curriculum.signals import Tokens
from trl_curriculum.testing.batch import Attends, Batch, Model, shaping
from trl_curriculum.trainers.attended import (
    AttendedLayer,
    attended_layer,
    attention_entropy,
    attention_layers,
    refuse_unattended,
    share_of_largest,
)


HERE = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]])  # the second has two tokens of padding on the left


def entropies(weights: torch.Tensor, mask: torch.Tensor = HERE) -> torch.Tensor:
    return share_of_largest(attention_entropy(weights), mask)


def seen() -> torch.Tensor:
    """Which key each query sees, one head."""
    return (HERE[:, None, None, :] * torch.ones(4, 4).tril()).float()


def test_uniform_attention_is_one_and_a_single_place_is_zero() -> None:
    uniform = seen() / seen().sum(-1, keepdim=True).clamp(min=1)
    found = entropies(uniform)
    torch.testing.assert_close(found[0], torch.tensor([0.0, 1, 1, 1]))  # the first sees itself alone: 0 / 0
    torch.testing.assert_close(found[1, 2:], torch.tensor([0.0, 1]))  # padding is no context
    assert entropies(torch.eye(4).expand(2, 1, 4, 4)).tolist() == [[0.0] * 4] * 2


def test_a_distribution_by_hand() -> None:
    weights = torch.zeros(1, 1, 3, 3)
    weights[0, 0, 2] = torch.tensor([1 / 2, 1 / 4, 1 / 4])
    expected = 1.5 * math.log(2) / math.log(3)
    assert entropies(weights, torch.ones(1, 3, dtype=torch.long))[0, 2].item() == pytest.approx(expected)
    assert entropies(0.7 * weights, torch.ones(1, 3, dtype=torch.long))[0, 2].item() == pytest.approx(expected)


def test_heads_are_averaged_before_the_entropy_is_taken() -> None:
    weights = torch.zeros(1, 2, 2, 2)
    weights[0, 0, 1, 0] = weights[0, 1, 1, 1] = 1.0  # each head looks at one token, both together at two
    assert entropies(weights, torch.ones(1, 2, dtype=torch.long)).tolist() == [[0.0, 1.0]]


def test_weights_have_mean_one_in_each_completion_and_turn_over_the_training() -> None:
    batch = Batch()
    h = torch.rand(24, 7, generator=torch.Generator().manual_seed(0))
    given = [batch.mask.bool(), batch.logp, batch.entropy, torch.ones(24, 7), 0]
    method, found = AttentionEntropy(start=-3.0, end=5.0), []
    for progress, slope in ((0.0, -3.0), (0.25, -1.0), (1.0, 5.0)):
        weight = method.tokens(Tokens(batch.ids, *given, progress, torch.Generator(), attention=h))
        for row, n in enumerate(batch.length):
            raw = np.exp(slope * h[row, :n].double().numpy())
            np.testing.assert_allclose(weight[row, :n], raw / raw.mean(), rtol=1e-5)
        assert (weight[~batch.mask.bool()] == 1).all()
        found.append(weight)
    longest = int(batch.length.argmax())
    low, high = int(h[longest].argmin()), int(h[longest].argmax())
    assert found[0][longest, low] > 1 > found[0][longest, high]
    assert found[2][longest, high] > 1 > found[2][longest, low]


def test_the_frame_hands_out_what_each_token_is_predicted_from() -> None:
    batch, frame = Batch(), shaping("attention_entropy")
    told: list[Any] = []
    method = frame.bound["attention_entropy"]
    method.tokens = lambda tokens: told.append(tokens) or tokens.advantage  # type: ignore[attr-defined]
    batch.train(frame)
    (tokens,) = told
    for row in range(24):
        n_prompt, padding = int(batch.prompt_mask[row].sum()), 3 - int(batch.prompt_mask[row].sum())
        for k in range(batch.length[row]):
            attention = batch.attention[row, :, 2 + k].mean(0)[padding : 3 + k].double().numpy()
            assert attention.sum() == pytest.approx(1, abs=1e-6) and len(attention) == n_prompt + k
            expected = -(attention * np.log(attention)).sum() / math.log(len(attention)) if len(attention) > 1 else 0.0
            assert tokens.attention[row, k].item() == pytest.approx(expected, abs=1e-6)
    assert not tokens.attention.requires_grad


def test_what_is_logged() -> None:
    frame = shaping("attention_entropy")
    assert "shaping/attention_entropy/spread" not in frame.metrics()
    Batch().train(frame)
    logged = frame.metrics()
    assert 0 < logged["shaping/attention_entropy/entropy"] < 1
    assert 0 < logged["shaping/attention_entropy/spread"] < 0.5
    assert "shaping/attention_entropy/spread" not in frame.metrics(), "it is that since the last log"


class Deep(torch.nn.Module):
    can_record_outputs = Model.can_record_outputs

    def __init__(self, n: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(Attends() for _ in range(n))

    def forward(self, weights: torch.Tensor) -> None:
        for k, layer in enumerate(self.layers):
            layer(weights if k == 1 else torch.eye(4).expand_as(weights))


@pytest.mark.parametrize(("depth", "layer"), [(0.0, 0), (0.49, 1), (0.5, 2), (0.99, 3), (1.0, 3)])
def test_the_layer_at_a_depth(depth: float, layer: int) -> None:
    model = Deep(4)
    AttendedLayer(model, depth)
    assert [len(one._forward_hooks) for one in model.layers] == [int(k == layer) for k in range(4)]


def test_only_the_forward_that_is_watched_is_seen() -> None:
    model, uniform = Deep(3), torch.full((2, 1, 4, 4), 0.25)
    attended = AttendedLayer(model, 0.4)
    model(uniform)  # generation
    attended.watch()
    model(uniform[:1])  # in two parts
    model(uniform[1:])
    ones = torch.ones(2, 4, dtype=torch.long)
    assert attended.take(ones, 2).shape == (2, 2)
    model(uniform)  # gradient checkpointing
    attended.watch()
    model(uniform)
    expected = torch.full((2, 1), math.log(4) / math.log(3))  # uniform over four, where three are seen
    torch.testing.assert_close(attended.take(ones, 1), expected)


def test_models_that_show_no_attention_are_refused() -> None:
    assert attention_layers(torch.nn.Linear(2, 2)) == []
    with pytest.raises(
        ValueError, match="attention of Linear is to be looked at, and transformers does not say which"
    ):
        AttendedLayer(torch.nn.Linear(2, 2), 0.5)
    model = Deep(1)
    attended = AttendedLayer(model, 0.5)
    attended.watch()
    with pytest.raises(ValueError, match="Attends gave no weights of its attention, which a shaper needs: load the"):
        model.layers[0](None)


def test_two_shapers_look_at_one_layer() -> None:
    at = [SimpleNamespace(attends=depth) for depth in (0.2, None, 0.2, 0.7)]
    assert attended_layer({"b": at[1]}, Deep(2)) is None  # type: ignore[dict-item]
    assert attended_layer({"a": at[0], "b": at[1], "c": at[2]}, Deep(2)) is not None  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"a and b look at the attention of different layers \(depths 0.2 and 0.7\)"):
        attended_layer({"a": at[0], "b": at[3]}, Deep(2))  # type: ignore[dict-item]


def test_attention_that_is_not_eager_is_refused() -> None:
    args, shapers = SimpleNamespace(torch_compile=False), (AttentionEntropy(),)
    for given, words in (("sdpa", "attn_implementation='sdpa'"), (None, "the default attn_implementation")):
        with pytest.raises(
            ValueError, match=f"attention_entropy looks at the weights .*, which {words} does not give"
        ):
            refuse_unattended(shapers, given, args)
        refuse_unattended((), given, args)
    refuse_unattended(shapers, "eager", args)
    with pytest.raises(ValueError, match="attention_entropy looks into the model, which torch_compile=True makes ano"):
        refuse_unattended(shapers, "eager", SimpleNamespace(torch_compile=True))
