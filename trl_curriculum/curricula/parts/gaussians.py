"""A mixture of Gaussians over parameters and what came of them, fitted anew to the last episodes."""

import contextlib
import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...records import PoolMapping, Stateful, check_array
from ...signals import FloatArray


def need_sklearn(name: str) -> None:
    """
    Refuses a method where scikit-learn is not installed.

    Raises:
        `ImportError`: in one sentence.
    """
    if find_spec("sklearn") is None:
        raise ImportError(f"Curriculum {name!r} needs scikit-learn: run `pip install 'trl_curriculum[alp_gmm]'`.")


class Gaussians(Stateful):
    """
    Episodes, each a point of `d` parameters with a value behind them, and the Gaussians fitted to the last ones.

    Args:
        d (`int`):
            Parameters of an episode.
        window (`int`):
            Episodes that a fit looks back.
        most (`int`):
            Gaussians of a mixture at most.
    """

    def __init__(self, d: int, window: int, most: int) -> None:
        self.window, self.most = window, most
        self.recent: FloatArray = np.empty((0, d + 1))  # parameters and value of the last episodes
        self.mean: FloatArray = np.empty((0, d + 1))
        self.covariance: FloatArray = np.empty((0, d + 1, d + 1))

    def __len__(self) -> int:
        return len(self.mean)

    def add(self, parameters: FloatArray, value: FloatArray) -> None:
        """Remembers episodes, parameters of shape `(n, d)` and values of shape `(n,)`."""
        self.recent = np.concatenate([self.recent, np.column_stack([parameters, value])])[-self.window :]

    def fit(self, seed: int) -> None:
        """Fits mixtures of 2 and more Gaussians to what is remembered, and keeps the one with the smallest AIC."""
        from sklearn.mixture import GaussianMixture

        points = np.unique(self.recent, axis=0)
        fitted = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where EM has not converged, another number of Gaussians is taken
            for k in range(2, min(self.most, len(points)) + 1):
                with contextlib.suppress(ValueError):  # and so it is where one has shrunk to a point
                    fitted.append(GaussianMixture(k, random_state=seed).fit(self.recent))
        if fitted:  # else all episodes are alike
            best = min(fitted, key=lambda one: one.aic(self.recent))
            self.mean, self.covariance = best.means_, best.covariances_

    def sample(self, rng: np.random.Generator, n: int) -> FloatArray:
        """Parameters of shape `(n, d)`, each of a Gaussian that is taken in proportion to its mean value."""
        worth = np.maximum(self.mean[:, -1], 0)
        worth = worth if worth.sum() > 0 else np.ones(len(worth))
        which = rng.choice(len(worth), n, p=worth / worth.sum())
        drawn = [rng.multivariate_normal(self.mean[k], self.covariance[k], method="eigh") for k in which]
        return np.array(drawn)[:, :-1]

    def state_dict(self) -> dict[str, Any]:
        return {"recent": self.recent.copy(), "mean": self.mean.copy(), "covariance": self.covariance.copy()}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """Continues; of another pool nothing is kept, whose parameters have other limits."""
        for name in ("recent", "mean", "covariance"):
            saved, like = state.get(name), getattr(self, name)
            check_array(name, saved, like.dtype)
            assert isinstance(saved, np.ndarray)
            if mapping is None:
                if saved.ndim != like.ndim or saved.shape[1:] != like.shape[1:]:
                    raise self.damaged(name)
                setattr(self, name, saved.copy())
        if len(self.mean) != len(self.covariance) or len(self.recent) > self.window:
            raise self.damaged("mean")
