"""Names that come from data (arms, sources, tasks): how they are shown, ordered, matched and made into keys."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from ..registry import nearest


BLANK = "(blank)"
WIDTH = 40  # letters of a name that are shown
FEW = 8  # names that are shown of many
KEY = 80  # letters of a key: trackers cut or refuse long ones
NUMBER = re.compile(r"((?<![\w.])-?\d+(?:\.\d+)?|\d+(?:\.\d+)?)")
JOINERS = "\u200c\u200d"  # which words of some scripts, and emoji, are made with
YES = {"true", "yes", "on", "y"}  # what YAML reads as a boolean
NO = {"false", "no", "off", "n"}


def shown(name: Any, width: int = WIDTH) -> str:
    """
    A name as it can be printed: one line without control characters, at most `width` letters, `(blank)` for nothing.

    A long name loses its middle.
    """
    text = "".join(one if one.isprintable() or one in JOINERS else _spelled(one) for one in str(name))
    if not text.strip():
        return BLANK
    if len(text) <= width:
        return text
    end = (width - 1) // 3
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"


def listed(names: Iterable[Any], few: int = FEW, between: str = ", ") -> str:
    """The first few names, and how many there are."""
    names = list(names)
    if len(names) <= few + 1:
        return between.join(map(shown, names))
    return f"{between.join(map(shown, names[:few]))}{between}… ({len(names):,} in all)"


def keys(names: Iterable[str], slash: bool = True, taken: Iterable[str] = ()) -> dict[str, str]:
    """
    A key for each name, no two alike: names as they are, where they can be keys of metrics, else changed a little.

    Args:
        names (`Iterable[str]`):
            All different.
        slash (`bool`, *optional*, defaults to `True`):
            Whether a key may have one: trackers read it as a folder.
        taken (`Iterable[str]`, *optional*):
            Keys that are in use already.
    """
    names = list(names)
    plain = {name: _key(name, slash) for name in names}
    used = {*taken}
    made = {}
    for name in sorted(names, key=lambda name: plain[name] != name):  # those that need no change keep their key
        key, number = plain[name], 2
        while key in used:
            key, number = f"{plain[name]}-{number}", number + 1
        used.add(key)
        made[name] = key
    return {name: made[name] for name in names}


def _key(name: str, slash: bool) -> str:
    text = shown(name.strip(), KEY) if name.strip() else "blank"
    return text if slash else text.replace("/", "-")


def _spelled(one: str) -> str:
    return " " if one.isspace() else f"\\x{ord(one):02x}"


def alike(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that a person would take for the same: they differ in case, spaces, hyphens, form or zeros."""
    first: dict[str, str] = {}
    pairs = []
    for name in names:
        plain = _person(name)
        if plain in first:
            pairs.append((first[plain], name))
        else:
            first[plain] = name
    return pairs


def _person(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold()
    text = "".join(one for one in text if unicodedata.category(one) not in ("Cf", "Cc") or one.isspace())
    text = re.sub(r"(?<=\w)[-\s_]+(?=\w)", " ", text.replace("_", " ").strip())
    return re.sub(r"\s+", " ", text) if _number(text) is None else repr(_number(text))


def _number(text: str) -> float | None:
    """A plain number, or `None`; names such as `nan` and `infinity` are words."""
    return float(text) if re.fullmatch(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", text) else None


def natural(values: Sequence[Any]) -> list[int]:
    """
    The order of values as a person counts: 2 before 10, -2 before -1, `grade 2` before `grade 10`, else alphabetical.

    Args:
        values (`Sequence`):
            Texts, numbers, or tuples of these; those at the same place of a tuple are of one kind.

    Returns:
        `list[int]`: positions in `values`, the first value first.
    """
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    columns = [_comparable(column) for column in zip(*rows, strict=True)]
    return sorted(range(len(rows)), key=lambda k: tuple(column[k] for column in columns))


def _comparable(column: tuple[Any, ...]) -> list[Any]:
    if not all(isinstance(value, str) for value in column):
        return list(column)
    numbers = [_number(value) for value in column]
    if all(number is not None for number in numbers):
        return list(zip(numbers, column, strict=True))
    return [([float(p) if k % 2 else p for k, p in enumerate(NUMBER.split(value))], value) for value in column]


def counts(names: Iterable[str]) -> bool:
    """Whether an order of names follows numbers in them, not only the alphabet."""
    return all(NUMBER.search(name) for name in names)


def match(given: Iterable[Any], names: Sequence[str], what: str) -> dict[str, str]:
    """
    Which name each given one means: a number the name that is that number, a boolean the word that YAML reads so.

    Args:
        given (`Iterable`):
            Texts, numbers or booleans, as a recipe holds them.
        names (`Sequence[str]`):
            Those of the data.
        what (`str`):
            The option that gives them.

    Raises:
        `ValueError`: where one means none of the names, or two mean the same.
    """
    known = set(names)
    numbers = {number: name for name in names if (number := _number(name)) is not None}
    meant: dict[str, str] = {}
    for one in map(str, given):
        number = _number(one)
        name = one if one in known else None if number is None else numbers.get(number)
        if name is None and one in ("True", "False"):
            words = [word for word in names if word.casefold() in (YES if one == "True" else NO)]
            name = words[0] if len(words) == 1 else None
        if name is None:
            raise ValueError(
                f"{what} names an arm {shown(one)!r} that the data does not have{nearest(one, names[:1000])}: its "
                f"arms are {listed(names)}."
            )
        if name in meant.values():
            raise ValueError(f"{what} names the arm {shown(name)!r} twice: leave one out.")
        meant[one] = name
    return meant
