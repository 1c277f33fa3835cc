"""From rows with values of any shape to a table that gives the very same values back."""

import json
from typing import Any

from datasets import Features, Json, List, Value


MIXED, NUMBERS = "mixed", "numbers"  # shapes that no Arrow type has, kept as JSON: of anything, and of several kinds
SCALARS = {str: "string", int: "int64", float: "float64", bool: "bool", type(None): "null"}
NUMERIC = (int, float, bool)


class Shapes:
    """
    What the columns of rows hold. A column whose values all have one shape becomes that Arrow type, and one of texts
    and numbers becomes texts, as they are written. Any other (integers and fractions, objects with different keys)
    becomes [`~datasets.Json`], so that no value turns into another type and no object gets keys of others.
    """

    def __init__(self) -> None:
        self.columns: dict[str, Any] = {}

    def add(self, row: dict[str, Any]) -> None:
        for name, value in row.items():
            shape = self.columns.get(name)
            scalars = (shape is NUMBERS or isinstance(shape, type)) and type(value) in (str, *NUMERIC)
            self.columns[name] = str if scalars and str in (shape, type(value)) else _grown(shape, value)

    @property
    def features(self) -> Features:
        return Features({name: _feature(shape) for name, shape in self.columns.items()})


def encoded(row: dict[str, Any], features: Features) -> dict[str, Any]:
    """A row as these features are written: what is kept as JSON, as JSON."""
    return {name: _encoded(row.get(name), feature) for name, feature in features.items()}


def _grown(shape: Any, value: Any) -> Any:
    """The shape of values of this shape and one more: a scalar's type, `[shape]`, `{key: shape}`, or one without."""
    kind = type(value)
    if value is None or kind is shape or shape is MIXED:
        return shape
    if kind is list and (shape is None or type(shape) is list):
        inner = None if shape is None else shape[0]
        for one in value:
            inner = _grown(inner, one)
        return [inner]
    if kind is dict and value and shape is None:
        return {key: _grown(None, one) for key, one in value.items()}
    if kind is dict and type(shape) is dict and value.keys() == shape.keys():
        return {key: _grown(shape[key], one) for key, one in value.items()}
    if kind in SCALARS and shape is None:
        return kind
    return NUMBERS if kind in NUMERIC and (shape is NUMBERS or shape in NUMERIC) else MIXED


def _feature(shape: Any) -> Any:
    if type(shape) is list:
        return List(_feature(shape[0]))
    if _is_mixed(shape):
        return Json()
    if type(shape) is dict:
        return {key: _feature(one) for key, one in shape.items()}
    return Value(SCALARS[shape or type(None)])


def _is_mixed(shape: Any) -> bool:
    if type(shape) is dict:
        return any(_is_mixed(one) for one in shape.values())
    return _is_mixed(shape[0]) if type(shape) is list else shape in (MIXED, NUMBERS)


def _encoded(value: Any, feature: Any) -> Any:
    if value is None:
        return None
    if isinstance(feature, Json):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(feature, List):
        return [_encoded(one, feature.feature) for one in value]
    return json.dumps(value) if feature == Value("string") and not isinstance(value, str) else value
