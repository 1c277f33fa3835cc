"""Gradient features: the exact per-sample gradient whatever the batch, projections of it, and files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from peft import LoraConfig, get_peft_model

from trl_curriculum.gradients import CountSketch, GradientFeatures, Rademacher, read_features, write_features
from trl_curriculum.gradients.capture import _adam
from trl_curriculum.gradients.store import NOT_YET
from trl_curriculum.lm.batches import collate


class Keep:
    """In place of a projection: keeps the gradients themselves."""

    dimension = 1

    def __init__(self) -> None:
        self.gradient: dict[str, torch.Tensor] = {}

    def add(self, into: torch.Tensor, gradient: torch.Tensor, name: str) -> None:
        self.gradient[name] = gradient.clone()


def model(layers: str) -> Any:
    made: Any = tiny.model()
    if layers == "lora":
        torch.manual_seed(1)
        made = get_peft_model(made, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    return made


def rows(n: int = 6, seed: int = 0) -> list[dict[str, list[int]]]:
    rng = np.random.default_rng(seed)
    made = []
    for k in range(n):
        ids = rng.integers(3, 40, 6 + k).tolist()
        made.append({"input_ids": ids, "labels": [-100] * 3 + ids[3:]})
    return made


def plain(of: Any, row: dict[str, list[int]], names: list[str]) -> torch.Tensor:
    """Gradient of one row's mean loss, by an ordinary backward of it alone."""
    of.zero_grad()
    parameters = {name: p for name, p in of.named_parameters() if name in names}
    wanted = {name: p.requires_grad for name, p in parameters.items()}
    for p in parameters.values():
        p.requires_grad_(True)
    of.eval()
    of(input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])).loss.backward()
    flat = torch.cat([p.grad.flatten() for p in parameters.values()])  # type: ignore[union-attr]
    for name, p in parameters.items():
        p.requires_grad_(wanted[name])
    of.zero_grad()
    return flat


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """But for the rounding of sums in another order, whose size is that of the largest values."""
    return (one - other).abs().max().item() < 1e-4 * other.abs().max().item()


class TestGradients:
    @pytest.mark.parametrize("layers", ["lora", "last", "all"])
    def test_equal_those_of_each_row_alone(self, layers: Any) -> None:
        of, keep = model(layers), Keep()
        GradientFeatures(of, keep, layers, n_last=1)(**collate(rows()))
        names = [name for name, _ in of.named_parameters() if name in keep.gradient]
        assert len(names) == len(keep.gradient) == {"lora": 28, "last": 7, "all": 14}[layers]
        for k, row in enumerate(rows()):
            mine = torch.cat([keep.gradient[name][k].flatten() for name in names])
            expected = plain(of, row, names)
            assert same(mine, expected)
            assert torch.cosine_similarity(mine, expected, dim=0) > 0.999

    def test_of_adam(self) -> None:
        of, keep = model("lora"), Keep()
        GradientFeatures(of, keep)(**collate(rows()))
        generator = torch.Generator().manual_seed(0)
        moments = {
            name: (torch.randn(g.shape[1:], generator=generator) * 0.01, torch.rand(g.shape[1:], generator=generator))
            for name, g in keep.gradient.items()
        }
        adam = Keep()
        GradientFeatures(of, adam, moments=moments)(**collate(rows()))
        name = next(iter(moments))
        first, second = moments[name]
        g = keep.gradient[name]
        expected = (0.9 * first + 0.1 * g) / (0.999 * second + 0.001 * g**2 + 1e-8).sqrt()
        assert same(adam.gradient[name], expected)

    def test_of_adam_by_hand(self) -> None:
        # m' = .9 * .01 + .1 * .02 = .011; v' = .999 * 4e-9 + .001 * 4e-4 = 4.03996e-7; ε = 1e-8 inside the root.
        found = _adam(torch.tensor([0.02]), torch.tensor([0.01]), torch.tensor([4e-9]))
        assert float(found) == pytest.approx(0.011 / 4.13996e-7**0.5)
        # Without a gradient and a second moment: .9 * .01 / sqrt(1e-8), not / 1e-8.
        assert float(_adam(torch.zeros(1), torch.tensor([0.01]), torch.zeros(1))) == pytest.approx(90)

    def test_leaves_the_model_as_it_was(self) -> None:
        of = model("lora")
        of.train()
        before = {name: (p.clone(), p.requires_grad) for name, p in of.named_parameters()}
        GradientFeatures(of, CountSketch(64))(**collate(rows()))
        assert of.training and all(p.grad is None for p in of.parameters())
        for name, p in of.named_parameters():
            assert torch.equal(p, before[name][0]) and p.requires_grad == before[name][1]
        assert not any(m._forward_hooks for m in of.modules())

    def test_a_row_without_a_token_to_train_on_has_none(self) -> None:
        masked = {"input_ids": [4, 5, 6], "labels": [-100] * 3}
        found = GradientFeatures(model("lora"), CountSketch(64))(**collate([*rows(2), masked]))
        assert (found[2] == 0).all() and (found[:2].norm(dim=1) > 0).all()

    def test_nothing_to_train_on_in_the_whole_batch(self) -> None:
        masked = {"input_ids": [4, 5, 6], "labels": [-100] * 3}
        for layers in ("lora", "all"):
            assert not GradientFeatures(model(layers), CountSketch(64), layers)(**collate([masked, masked])).any()  # type: ignore[arg-type]

    def test_a_model_that_always_computes_all_logits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        of = model("lora")
        few = GradientFeatures(of, CountSketch(64))(**collate(rows()))
        whole = GradientFeatures(of, CountSketch(64))
        monkeypatch.setattr(whole, "keeps_logits", False)
        assert torch.allclose(whole(**collate(rows())), few, atol=1e-5)

    def test_the_backward_ends_at_the_first_layer(self) -> None:
        of, ended = model("last"), []
        first = of.model.layers[0].self_attn.q_proj
        first.register_forward_hook(lambda module, args, output: ended.append(output.requires_grad))
        GradientFeatures(of, CountSketch(64), "last", n_last=1)(**collate(rows()))
        assert ended == [False]

    def test_finds_no_layer(self) -> None:
        with pytest.raises(ValueError, match="layers='lora' finds no linear layer in LlamaForCausalLM"):
            GradientFeatures(tiny.model(), CountSketch(8))


class TestProjections:
    @pytest.mark.parametrize("make", [lambda d, s: CountSketch(d, s), lambda d, s: Rademacher(d, s, block=50)])
    def test_inner_products_are_unbiased(self, make: Any) -> None:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(4, 7, 30, generator=generator)
        x[1] += x[0]
        x /= x.flatten(1).norm(dim=1)[:, None, None]
        exact = x.flatten(1) @ x.flatten(1).T
        d, found = 32, []
        for seed in range(400):
            into = torch.zeros(4, d)
            make(d, seed).add(into, x, "layer")
            found.append(into @ into.T)
        error = torch.stack(found) - exact
        assert (error.mean(0).abs() < 4 * error.std(0) / 20 + 1e-6).all()
        assert error[:, 0, 2].std() < 1.5 / d**0.5

    @pytest.mark.parametrize("rank", [1, 4])
    def test_those_of_low_rank_are_unbiased_with_a_larger_variance(self, rank: int) -> None:
        generator = torch.Generator().manual_seed(0)
        left, right = (torch.randn(3, *shape, generator=generator) for shape in ((40, rank), (rank, 50)))
        left[1] = left[0]  # the same output's gradient on two inputs
        x = left @ right
        x /= x.flatten(1).norm(dim=1)[:, None, None]
        exact = x.flatten(1) @ x.flatten(1).T
        d, n, found = 64, 1000, []
        for seed in range(n):
            into = torch.zeros(3, d)
            CountSketch(d, seed).add(into, x, "layer")
            found.append(into @ into.T)
        error = torch.stack(found) - exact
        assert (error.mean(0).abs() < 4 * error.std(0) / n**0.5).all()
        variance = d * error.var(0)
        assert 0.8 < variance[0, 2] < 1.3 and (2.3 < variance.diagonal()).all() and (variance.diagonal() < 7).all()

    def test_the_same_seed_gives_the_same_in_any_order(self) -> None:
        x = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0))
        for projection in (CountSketch(16, 3), Rademacher(16, 3)):
            one, other = torch.zeros(2, 16), torch.zeros(2, 16)
            for name in ("a", "b"):
                projection.add(one, x, name)
            for name in ("b", "a"):
                projection.add(other, x, name)
            assert same(one, other)
            alone = torch.zeros(2, 16)
            projection.add(alone, x, "a")
            assert not torch.allclose(2 * alone, one, atol=1e-3), "two layers share their random numbers"


class TestFiles:
    def features(self) -> GradientFeatures:
        return GradientFeatures(model("lora"), CountSketch(128))

    def test_do_not_depend_on_batching(self, tmp_path: Path) -> None:
        one, other = (
            write_features(tmp_path / str(tokens), rows(), self.features(), "k", tokens) for tokens in (1, 1000)
        )
        np.testing.assert_allclose(one.features, other.features, atol=2e-3)
        np.testing.assert_allclose(np.linalg.norm(one.features.astype(float), axis=1), 1, atol=2e-3)
        assert one.features.dtype == np.float16 and one.usable.tolist() == list(range(6))

    def test_goes_on_where_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = write_features(tmp_path / "whole", rows(), self.features(), "k", 12)
        calls: list[int] = []
        call = GradientFeatures.__call__

        def counted(self: GradientFeatures, input_ids: Any, **rest: Any) -> Any:
            if len(calls) == 3 and stop:
                raise KeyboardInterrupt
            calls.append(len(input_ids))
            return call(self, input_ids, **rest)

        monkeypatch.setattr(GradientFeatures, "__call__", counted)
        stop = True
        with pytest.raises(KeyboardInterrupt):
            write_features(tmp_path / "cut", rows(), self.features(), "k", 12)
        with pytest.raises(ValueError, match=r"features in .* were not computed: run it again"):
            read_features(tmp_path / "cut")
        done = sum(calls)
        calls.clear()
        stop = False
        again = write_features(tmp_path / "cut", rows(), self.features(), "k", 12)
        assert sum(calls) == 6 - done
        assert np.array_equal(again.features, whole.features)
        calls.clear()
        write_features(tmp_path / "cut", rows(), self.features(), "k", 12)
        assert not calls
        write_features(tmp_path / "cut", rows(), self.features(), "another", 12)
        assert sum(calls) == 6

    def test_rows_without_a_direction_are_told(self, tmp_path: Path) -> None:
        broken = self.features()
        masked = {"input_ids": [4, 5, 6], "labels": [-100] * 3}
        found = write_features(tmp_path / "a", [*rows(3), masked], broken, "k")
        assert found.usable.tolist() == [0, 1, 2] and found.norm[3] == 0 and not found.features[3].any()
        with torch.no_grad():
            next(iter(broken.linears.values())).weight.fill_(torch.nan)
        nothing = write_features(tmp_path / "b", rows(3), broken, "k")
        assert len(nothing.usable) == 0 and np.isnan(nothing.norm).all() and not np.isnan(nothing.features).any()
        assert not (nothing.norm == NOT_YET).any()
