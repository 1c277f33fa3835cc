"""Where arms come from: columns of the dataset, clusters of its rows, or what training shows of them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .data.clusters import cluster, word_vectors
from .data.columns import read_column
from .data.names import listed, match, natural
from .registry import Method, Registry, option


if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class ArmSource(Method):
    """Says which arm each row belongs to: by `label`, before training, or by `bind`, while it goes on."""

    estimated = False  # whether arms are estimated while training

    def label(self, dataset: "Dataset") -> tuple[NDArray, list[str]]:
        """Arm of each row, shape `(len(dataset),)`, and the arms' names."""
        raise NotImplementedError

    def bind(self, size: int, rng: np.random.Generator) -> Any:
        """Arms of `size` rows that change with what the rows show, see [`~.curricula.parts.arms.Arms`]."""
        raise NotImplementedError


ARMS: Registry[ArmSource] = Registry("arm source", ArmSource, "trl_curriculum.arms")


@ARMS.add("columns")
@dataclass(frozen=True)
class Columns(ArmSource):
    """
    Arms are the values of a column; of several columns, joint arms named `"a/b"` (SEC-2D).

    They come in the order of their values as a person counts (2 before 10, `grade 2` before `grade 10`, words by the
    alphabet), or in one that is given: `{"columns": {"names": ["level"], "order": ["easy", "medium", "hard"]}}`.
    """

    names: list[str] = option(help="The columns.")
    order: list[str | int | float | bool] | None = option(
        None, "All arms in the order in which curricula that go from arm to arm take them; default: as values count."
    )

    def check(self) -> None:
        if not self.names:
            raise ValueError("names=[] of columns: arms need at least one column.")

    def label(self, dataset: "Dataset") -> tuple[NDArray, list[str]]:
        frame = pd.concat([read_column(dataset, name, "arms") for name in self.names], axis=1)
        for name in self.names:
            if not isinstance(frame[name].iloc[0], str | int | float | bool | np.generic):
                raise ValueError(
                    f"arms {name!r} holds {type(frame[name].iloc[0]).__name__} values; an arm is named by a "
                    "string, a number or a boolean."
                )
        groups = frame.groupby(self.names if len(self.names) > 1 else self.names[0], sort=True)
        values = list(groups.groups)
        names = ["/".join(str(v) for v in (key if isinstance(key, tuple) else (key,))) for key in values]
        if len(set(names)) < len(names):
            raise ValueError(f"Two arms of {self.names} have the same joint name; values must not contain '/'.")
        order = natural(values) if self.order is None else self._given(names)
        place = np.argsort(order).astype(np.int32)  # of each group
        return place[groups.ngroup().to_numpy()], [names[k] for k in order]

    def _given(self, names: list[str]) -> list[int]:
        assert self.order is not None
        what = f"order of the arms {'/'.join(self.names)}"
        meant = match(self.order, names, what)
        if missing := [name for name in names if name not in meant.values()]:
            raise ValueError(f"{what} lacks {listed(map(repr, missing))}: name every arm once.")
        place = {name: k for k, name in enumerate(names)}
        return [place[name] for name in meant.values()]


@ARMS.add("clusters")
@dataclass(frozen=True)
class Clusters(ArmSource):
    """Arms are clusters of rows that are alike (k-means): in the words of their prompts, or in a column of vectors."""

    k: int = option(help="Number of clusters; ones that stay empty are left out.", least=2)
    column: str | None = option(None, "Column with a vector for each row; default: the words of the prompts.")
    seed: int = option(0, "Seed of the start.", least=0)

    def label(self, dataset: "Dataset") -> tuple[NDArray, list[str]]:
        if self.column is None:
            vectors = word_vectors(dataset)
        else:
            held = read_column(dataset, self.column, "arms: clusters: column").tolist()
            try:
                vectors = np.array(held, float)
            except (TypeError, ValueError):  # of texts, or of several lengths
                vectors = np.empty(0)
            if vectors.ndim != 2 or not np.isfinite(vectors).all():
                raise ValueError(f"column={self.column!r} of clusters does not hold finite vectors of one length.")
        label = cluster(vectors, self.k, self.seed)
        return label.astype(np.int32), [f"cluster {k}" for k in range(int(label.max()) + 1)]


def make_arms(spec: Any) -> ArmSource | None:
    """
    Makes an arm source of its spec.

    Args:
        spec:
            As [`~trl_curriculum.registry.Registry.make`] takes it; any other text is the name of a column, and several
            are those of joint arms. `None`: no arms.
    """
    if spec is None or isinstance(spec, ArmSource):
        return spec
    if isinstance(spec, list | tuple) and len(spec) == 1:
        spec = spec[0]
    if isinstance(spec, list | tuple):
        return Columns(list(spec))
    if isinstance(spec, str) and not spec.lstrip().startswith("{") and spec not in ARMS.names():
        return Columns([spec])
    return ARMS.make(spec)
