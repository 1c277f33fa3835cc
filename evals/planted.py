"""
Pools of features whose composition is known: near-copies of a few rows of the largest cluster, clusters A, B and C of
the target task, and off-task noise; targets from A, B and C as .5 / .3 / .2.
"""

from pathlib import Path

import numpy as np
import torch

from trl_curriculum.selection import Features


SHARES = {"copy": 0.4, "A": 0.12, "B": 0.05, "C": 0.05, "noise": 0.38}
TARGETS = {"A": 0.5, "B": 0.3, "C": 0.2}
SPREAD, COPY_SPREAD, COPIES = 0.9, 0.05, 20  # distance to a centre, and to the row that is copied; copies of each


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=1, keepdim=True)


def random_unit(n: int, d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return unit(torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=dtype))


class Planted:
    """
    A pool of n candidates and m targets in d dimensions, made in pieces, since it need not fit into memory.

    `label`, shape `(n,)`, says what each candidate is, `targets` has the shape `(m, d)`.
    """

    def __init__(self, seed: int, n: int = 1000, d: int = 64, m: int = 60) -> None:
        self.seed, self.n, self.d = seed, n, d
        self.centres = random_unit(3, d, 1000 * seed, torch.float32)
        self.label = np.repeat(list(SHARES), np.diff(np.round(np.cumsum([0, *SHARES.values()]) * n).astype(int)))
        self.copied = self._around("A", max(1, int(SHARES["copy"] * n) // COPIES), 1)
        sizes = np.diff(np.round(np.cumsum([0, *TARGETS.values()]) * m).astype(int))
        self.targets = torch.cat(
            [self._around(c, k, 2 + i) for i, (c, k) in enumerate(zip(TARGETS, sizes, strict=True))]
        )

    def _around(self, cluster: str, n: int, salt: int) -> torch.Tensor:
        away = random_unit(n, self.d, 1000 * self.seed + salt, torch.float32)
        return unit(self.centres["ABC".index(cluster)] + SPREAD * away)

    def candidates(self, begin: int, end: int) -> torch.Tensor:
        """Some of the rows, the same whenever they are asked for as the same piece."""
        x = random_unit(end - begin, self.d, 1000 * self.seed + 10 + begin, torch.float32)
        label = self.label[begin:end]
        for i, cluster in enumerate("ABC"):
            of = torch.as_tensor(label == cluster)
            x[of] = unit(self.centres[i] + SPREAD * x[of])
        of = torch.as_tensor(label == "copy")
        which = torch.arange(begin, end)[of] % len(self.copied)
        x[of] = unit(self.copied[which] + COPY_SPREAD * x[of])
        return x

    def features(self) -> Features:
        return Features(self.candidates(0, self.n), self.targets)

    def write(self, file: Path, rows: int = 10_000) -> None:
        """In half precision, as features are stored."""
        made = np.lib.format.open_memmap(file, "w+", dtype=np.float16, shape=(self.n, self.d))
        for begin in range(0, self.n, rows):
            end = min(begin + rows, self.n)
            made[begin:end] = self.candidates(begin, end).half().numpy()
        made.flush()
