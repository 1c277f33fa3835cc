"""Sums over sequences, in a fixed order, and forwards that leave no trace."""

import numpy as np
import pytest
import torch

from trl_curriculum.lm.tap import measuring, sum_per_sequence


class TestSums:
    """Values are of next tokens: of a sequence's n tokens the first has none, or the one of the sequence before."""

    VALUES = torch.arange(9.0)[None, :, None] * torch.tensor([1.0, 10.0])

    def batch(self, *lengths: int) -> dict[str, torch.Tensor]:
        sizes = torch.tensor(lengths, dtype=torch.int32)
        cumulative = torch.cat([sizes.new_zeros(1), sizes.cumsum(0, dtype=torch.int32)])
        of = torch.repeat_interleave(torch.arange(len(lengths), dtype=torch.int32), sizes)
        return {"seq_idx": of[None], "cu_seq_lens_q": cumulative}

    @pytest.mark.parametrize("lengths", [(10,), (3, 5, 2), (1, 9), (4, 1, 5)])
    def test_of_a_padding_free_batch(self, lengths: tuple[int, ...]) -> None:
        batch = self.batch(*lengths)
        before = batch["cu_seq_lens_q"].clone()
        found = sum_per_sequence(self.VALUES, batch, len(lengths))
        of = batch["seq_idx"][0, 1:].numpy()
        expected = [sum(k for k in range(9) if of[k] == which) for which in range(len(lengths))]
        assert found.tolist() == [[value, 10 * value] for value in expected]
        assert torch.equal(batch["cu_seq_lens_q"], before)

    def test_sequences_of_padding_alone_are_left_out(self) -> None:
        assert sum_per_sequence(self.VALUES, self.batch(3, 5, 2), 2).tolist() == [[1, 10], [20, 200]]

    def test_of_a_padded_batch(self) -> None:
        found = sum_per_sequence(torch.cat([self.VALUES, 2 * self.VALUES]), {}, 2)
        assert found.tolist() == [[36, 360], [72, 720]]

    def test_in_the_order_of_the_tokens(self) -> None:
        """In float32 the order of a sum shows: a fixed one gives the same bits in every run."""
        values = torch.randn(1, 499, 1, generator=torch.Generator().manual_seed(0)) * 1e3
        found = sum_per_sequence(values, self.batch(200, 300), 2)[:, 0].numpy()
        parts = np.split(values[0, :, 0].numpy(), [199])
        assert found.tolist() == [np.cumsum(part, dtype=np.float32)[-1] for part in parts]


def test_gradients_still_pass_through_four_bit_layers() -> None:
    """Else bitsandbytes repacks a layer that runs in eval mode on a CPU, and its gradients are lost for good."""
    bitsandbytes = pytest.importorskip("bitsandbytes")
    layer = bitsandbytes.nn.Linear4bit(64, 64, compute_dtype=torch.float32).to("cpu")
    layer.eval()
    with measuring(torch.nn.Sequential(layer)):
        layer(torch.ones(1, 64))
    layer.train()
    x = torch.ones(1, 64, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
