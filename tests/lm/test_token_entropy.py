"""Entropies of tokens: numbers by hand, bounds that always hold and are attained, and what EDCO's code computes."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from trl_curriculum.lm.entropy import aggregate, exact_entropy, truncated_entropy
from trl_curriculum.probes.prefix_entropy import PrefixEntropy


INF, NAN = math.inf, math.nan


def entropy(p: Any) -> float:
    p = np.asarray(p, float)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def log(p: Any) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(p, float))


def bounds(known: Any, vocabulary: int, top: int | None = None) -> dict[str, float]:
    table = np.asarray(known, float)[None]
    kinds: Any = ("lower", "renormalize", "upper")
    return {kind: float(truncated_entropy(table, vocabulary, kind, top)[0]) for kind in kinds}


class TestExact:
    def test_numbers_by_hand(self) -> None:
        logits = torch.tensor([[0.0, 0, 0, 0], [math.log(2), 0, 0, -INF], [100.0, 0, 0, 0], [5.0, -INF, -INF, -INF]])
        half = 0.5 * math.log(2) + 0.5 * math.log(4)  # 1/2, 1/4, 1/4
        assert exact_entropy(logits).tolist() == pytest.approx([math.log(4), half, 0, 0], abs=1e-6)

    def test_any_shape_and_a_shift_changes_nothing(self) -> None:
        logits = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(0)).double() * 3
        expected = [[entropy(row) for row in part] for part in logits.softmax(-1).numpy()]
        found = exact_entropy(logits)
        assert found.shape == (2, 3) and found.numpy() == pytest.approx(np.array(expected), abs=1e-5)
        assert exact_entropy(logits + 70).numpy() == pytest.approx(np.array(expected), abs=1e-4)

    def test_half_precision_is_widened_first(self) -> None:
        logits = torch.zeros(1, 100_000, dtype=torch.bfloat16)
        assert exact_entropy(logits).item() == pytest.approx(math.log(100_000), abs=1e-3)

    def test_what_is_not_a_number_stays_so(self) -> None:
        assert exact_entropy(torch.tensor([[NAN, 0.0], [0.0, 0.0]])).isnan().tolist() == [True, False]
        assert exact_entropy(torch.tensor([[INF, 0.0]])).isnan().all()


class TestTruncated:
    def test_renormalised_by_hand(self) -> None:
        # .4 and .2 of which .4 is missing: 2/3 and 1/3
        found = bounds(log([0.4, 0.2]), 10)
        assert found["renormalize"] == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))
        # lower: .4 left for tokens of at most .2: two of them; upper: 8 of .05
        assert found["lower"] == pytest.approx(entropy([0.4, 0.2, 0.2, 0.2]))
        assert found["upper"] == pytest.approx(entropy([0.4, 0.2] + [0.05] * 8))

    def test_what_is_left_after_whole_tokens_is_one_more(self) -> None:
        assert bounds(log([0.5, 0.2]), 10)["lower"] == pytest.approx(entropy([0.5, 0.2, 0.2, 0.1]))

    @pytest.mark.parametrize("k", range(2, 21))
    def test_the_exact_entropy_lies_between_the_bounds(self, k: int) -> None:
        rng = np.random.default_rng(k)
        tight, off = 0, 0.0
        for trial in range(60):
            size = int(rng.integers(k + 1, 300))
            scores = rng.standard_normal(size) * rng.choice([0.01, 0.3, 1, 4, 12])
            if trial % 3 == 0:  # heavy tails: Zipf's law, and one token in front of a flat rest
                scores = -rng.uniform(0.3, 2) * np.log(np.arange(1, size + 1))
            elif trial % 3 == 1:
                scores = np.r_[rng.uniform(0, 12), np.zeros(size - 1)]
            p = np.sort(np.exp(scores - scores.max()))[::-1]
            p /= p.sum()
            exact = entropy(p)
            sampled = int(rng.integers(k, size))
            for known, top in ((p[:k], None), (np.r_[p[:k], p[sampled]], k)):
                found = bounds(log(known), size, top)
                assert found["lower"] - 1e-9 <= exact <= found["upper"] + 1e-9
                tight += found["upper"] - found["lower"] < 0.1
                off = max(off, abs(found["renormalize"] - exact))
        assert tight > 10 and off > 0.3, "the distributions are all alike"

    def test_a_sampled_token_is_no_bound_for_the_others(self) -> None:
        p = np.r_[0.3, 0.2, np.full(10, 0.05)]
        known = np.r_[0.3, 0.2, 0.05]
        told = bounds(log(known), 12, top=2)
        assert told["lower"] == pytest.approx(entropy([0.3, 0.2, 0.05, 0.2, 0.2, 0.05])) and told["lower"] < entropy(p)
        rest_of_others = [0.3, 0.2, 0.2, 0.2, 0.05, 0.05]  # what cannot be told from p by its top and the sampled one
        assert bounds(log(known), 12, top=2)["lower"] <= entropy(rest_of_others)
        assert bounds(log(known), 12)["lower"] > entropy(rest_of_others), "without `top` the bound would be wrong"

    @pytest.mark.parametrize("k", [2, 5, 20])
    def test_the_bounds_are_attained(self, k: int) -> None:
        head = np.linspace(0.6, 0.3, k)
        head = 0.6 * head / head.sum()
        size = k + 40
        flat = np.r_[head, np.full(40, 0.4 / 40)]
        assert bounds(log(head), size)["upper"] == pytest.approx(entropy(flat)), "of a flat rest"
        least = head[-1]
        whole = int(0.4 / least)
        steep = np.r_[head, np.full(whole, least), 0.4 - whole * least]
        assert bounds(log(head), size)["lower"] == pytest.approx(entropy(steep)), "of as few tokens as can be"

    def test_all_are_equal_where_everything_is_known(self) -> None:
        p = np.array([0.5, 0.25, 0.125, 0.125])
        for found in bounds(log(p), 4).values():
            assert found == pytest.approx(entropy(p))
        certain = bounds([0.0, -INF, -INF], 50)
        assert list(certain.values()) == pytest.approx([0, 0, 0], abs=1e-12)

    def test_fewer_than_k_are_padded_with_minus_infinity(self) -> None:
        short, padded = log([0.5, 0.3]), log([0.5, 0.3, 0, 0])
        assert bounds(short, 9) == pytest.approx(bounds(padded, 9))

    def test_nan_is_nan_and_only_there(self) -> None:
        kinds: Any = ("lower", "renormalize", "upper")
        for kind in kinds:
            found = truncated_entropy(np.array([log([0.5, 0.25]), [NAN, -1.0], [-1.0, NAN]]), 8, kind)
            assert np.isnan(found).tolist() == [False, True, True]

    def test_at_most_log2_of_21_bits_as_edcos_code(self) -> None:
        """20 tokens and a sampled one, none of which the model prefers."""
        table = np.full((1, 21), math.log(1 / 50_000))
        in_bits = truncated_entropy(table, 50_000, "renormalize", 20)[0] / math.log(2)
        assert in_bits == pytest.approx(math.log2(21)) == pytest.approx(4.39, abs=5e-3)
        rng = np.random.default_rng(0)
        for _ in range(20):  # the code's formula: softmax over the known ones, with its 1e-12
            log_p = np.sort(rng.standard_normal(21) * 4)[::-1] - 9
            q = np.exp(log_p) / np.exp(log_p).sum()
            found = truncated_entropy(log_p[None], 50_000, "renormalize", 20)[0] / math.log(2)
            assert found == pytest.approx(-(q * np.log2(q + 1e-12)).sum(), abs=1e-9) and found <= math.log2(21)


class TestAggregate:
    def test_mean_of_all_and_of_the_largest(self) -> None:
        values = np.array([3.0, 0, 1, 4, 1, 5, 9, 2, 6, 5])
        assert aggregate(values, 1.0) == values.mean()
        assert aggregate(values, 0.2) == 7.5  # 9 and 6

    @pytest.mark.parametrize(("n", "k"), [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (14, 2), (15, 3), (128, 25)])
    def test_as_many_as_edcos_code_takes(self, n: int, k: int) -> None:
        values = np.random.default_rng(n).permutation(n).astype(float)
        assert k == max(1, int(0.2 * n))
        assert aggregate(values, 0.2) == pytest.approx(np.arange(n - k, n).mean())

    def test_nothing_and_nan(self) -> None:
        assert math.isnan(aggregate(np.array([]), 0.2))
        assert math.isnan(aggregate(np.array([1.0, NAN, 9.0]), 0.2)) and math.isnan(aggregate(np.array([INF]), 1))

    def test_bits_and_nats_and_only_the_first_tokens(self) -> None:
        values = np.log(np.array([2.0, 4.0, 8.0, 16.0]))
        assert PrefixEntropy(token_share=1).score(values) == pytest.approx(2.5)
        assert PrefixEntropy(token_share=1, unit="nats").score(values) == pytest.approx(2.5 * math.log(2))
        assert PrefixEntropy(length=2, token_share=1).score(values) == pytest.approx(1.5)
        assert PrefixEntropy(length=3).score(values) == pytest.approx(3)
