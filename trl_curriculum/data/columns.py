"""Columns of a dataset: are they there, and what do they hold."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..registry import nearest


if TYPE_CHECKING:
    from datasets import Dataset


def check_column(name: str, columns: list[str], role: str) -> None:
    """Refuses the name of a column that is not there; `role` is the argument that named it."""
    if name not in columns:
        raise ValueError(
            f"{role} {name!r}{nearest(name, columns)} is not a column of the dataset, which has: {', '.join(columns)}."
        )


def read_column(dataset: "Dataset", name: str, role: str) -> pd.Series:
    """
    A whole column without nulls.

    Raises:
        `ValueError`: where it is not there or has nulls.
    """
    check_column(name, dataset.column_names, role)
    only = dataset.select_columns([name])
    as_json = "Json" in repr(dataset.features[name])  # which Arrow would give as texts
    values = only.with_format(None)[:][name] if as_json else only.with_format("arrow")[:].column(name).to_pylist()
    series = pd.Series(list(values), name=name)
    if series.isna().any():
        first = int(np.flatnonzero(series.isna())[0])
        raise ValueError(
            f"{role} {name!r} is null in {int(series.isna().sum())} of {len(series)} rows (first: row {first}); "
            "fill or drop them."
        )
    return series
