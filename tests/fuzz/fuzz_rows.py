"""Datasets of every format with wrong, odd or missing values, rows and columns."""

import copy
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_kit import FREE, HARMLESS, NOTICE, REFUSE, Input, Scene, name, row_of, write_rows
from fuzz_scenes import SCENES, turn


Rows = list[dict[str, Any]]
GONE = object()

# What of a scene is text, messages, a gold, an arm or a difficulty, and in which file
TEXTS = {
    "sft-text": ["text"],
    "sft-pairs": ["prompt", "completion"],
    "sft-alpaca": ["instruction", "output"],
    "sft-columns": ["question", "answer"],
    "grpo-plain": ["prompt"],
    "grpo-gsm8k": ["question"],
    "grpo-arms": ["prompt"],
    "grpo-choices": ["question"],
    "score-prompts": ["prompt"],
    "select": ["prompt", "completion"],
    "evolve": ["prompt", "completion"],
}
CHATS = {
    "sft-messages": ["messages"],
    "sft-both": ["prompt", "completion"],
    "sft-edco": ["prompt", "completion"],
    "sft-sharegpt": ["conversations"],
    "sft-length": ["messages"],
    "grpo-messages": ["prompt"],
    "score-messages": ["messages"],
}
GOLDS = {"grpo-plain": "answer", "grpo-gsm8k": "answer", "grpo-loss": "answer", "grpo-messages": "answer"}
ARMS = ["sft-arms", "grpo-arms"]
DIFFICULTIES = ["sft-order"]
FILES = {"select": ["data/train.jsonl", "targets.jsonl"], "evolve": ["data/train.jsonl", "pool.jsonl"]}

ONE_TEXT: dict[str, tuple[Callable[[Any], Any], str]] = {
    "null": (lambda value: None, NOTICE),
    "empty": (lambda value: "", NOTICE),
    "blank": (lambda value: " \n", NOTICE),
    "no-break blank": (lambda value: "\u00a0\u200b", NOTICE),
    "missing": (lambda value: GONE, NOTICE),
    "a number": (lambda value: 7, FREE),
    "a bool": (lambda value: True, FREE),
    "a list": (lambda value: [value], NOTICE),
    "an empty list": (lambda value: [], NOTICE),
    "a mapping": (lambda value: {"text": value}, NOTICE),
    "half a surrogate": (lambda value: f"{value} \ud83d", NOTICE),
    "the other half": (lambda value: f"\udc00{value}", NOTICE),
    "a NUL": (lambda value: f"{value}\x00x", FREE),
    "control characters": (lambda value: f"\x1b[31m{value}\x07\x08", FREE),
    "markup": (lambda value: f"[/INST] {value} [bold]", FREE),
    "braces": (lambda value: f"{{{{ {value} }}}} {{% if %}}", FREE),
    "right to left": (lambda value: f"\u202e{value}\u0627", FREE),
    "special tokens": (lambda value: f"<|end|><eos>{value}<pad>", FREE),
    "only a special token": (lambda value: "<pad>", FREE),
    "long": (lambda value: str(value) + " long" * 3000, FREE),
    "one letter": (lambda value: "x", FREE),
}


def a_text(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """One row's text is something else."""
    scene = SCENES[_often(rng, TEXTS)]
    column = rng.choice(TEXTS[scene.name])
    kind = rng.choice(list(ONE_TEXT))
    change, allowed = ONE_TEXT[kind]
    file = rng.choice(FILES.get(scene.name, ["data/train.jsonl"]))

    def edit(rows: Rows, k: int) -> None:
        _put(rows[k], column, change(rows[k][column]))

    of = len(scene.files[file])
    k = rng.randrange(of)
    return scene, {
        "group": f"text: {kind}",
        "allowed": allowed,
        "tokens": row_of(k, of),
        "edit": lambda rows: edit(rows, k),
        "file": file,
        "what": f"{scene.name} {file} row {k}: {column} is {kind}",
    }


ALL_TEXTS: dict[str, tuple[Callable[[Any, int], Any], str]] = {
    "null": (lambda value, k: None, REFUSE),
    "empty": (lambda value, k: "", NOTICE),
    "blank": (lambda value, k: "  ", NOTICE),
    "numbers": (lambda value, k: k, FREE),
    "floats": (lambda value, k: k + 0.5, FREE),
    "bools": (lambda value, k: k % 2 == 0, NOTICE),
    "lists": (lambda value, k: [value, value], NOTICE),
    "mappings": (lambda value, k: {"text": [value], "start": [1]}, NOTICE),
    "dates": (lambda value, k: f"2024-01-{k + 1:02d}T00:00:00", FREE),
    "all the same": (lambda value, k: "x", FREE),
}


def all_texts(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """A whole column of texts is something else."""
    scene = SCENES[_often(rng, TEXTS)]
    column = rng.choice(TEXTS[scene.name])
    kind = rng.choice(list(ALL_TEXTS))
    change, allowed = ALL_TEXTS[kind]
    file = rng.choice(FILES.get(scene.name, ["data/train.jsonl"]))

    def edit(rows: Rows) -> None:
        for k, row in enumerate(rows):
            row[column] = change(row[column], k)

    return scene, {
        "group": f"texts: {kind}",
        "allowed": allowed,
        "tokens": (*name(column), *row_of(0, len(scene.files[file])), r"\brows?\b"),
        "edit": edit,
        "file": file,
        "what": f"{scene.name} {file}: every {column} is {kind}",
    }


def _keys(messages: Any) -> tuple[str, str]:
    return ("from", "value") if "from" in messages[0] else ("role", "content")


def _message(change: Callable[[dict[str, Any], str, str], Any]) -> Callable[[Any, random.Random], Any]:
    def edit(messages: Any, rng: random.Random) -> Any:
        role, content = _keys(messages)
        k = rng.randrange(len(messages))
        new = change(messages[k], role, content)
        messages[k] = messages[k] if new is None else new
        return messages

    return edit


ONE_CHAT: dict[str, tuple[Callable[[Any, random.Random], Any], str]] = {
    "null": (lambda m, rng: None, NOTICE),
    "empty": (lambda m, rng: [], NOTICE),
    "missing": (lambda m, rng: GONE, NOTICE),
    "a text": (lambda m, rng: "what is it?", NOTICE),
    "a mapping": (lambda m, rng: m[0], NOTICE),
    "a list of texts": (lambda m, rng: ["what", "it is"], NOTICE),
    "a list in a list": (lambda m, rng: [m], NOTICE),
    "null among messages": (lambda m, rng: [*m, None], NOTICE),
    "a role that is null": (_message(lambda one, role, content: one.update({role: None})), NOTICE),
    "a role that is missing": (_message(lambda one, role, content: one.pop(role) and None), NOTICE),
    "a role that is a number": (_message(lambda one, role, content: one.update({role: 1})), NOTICE),
    "a role that is blank": (_message(lambda one, role, content: one.update({role: " "})), NOTICE),
    "an unknown role": (_message(lambda one, role, content: one.update({role: "robot"})), FREE),
    "a role in capitals": (_message(lambda one, role, content: one.update({role: one[role].upper()})), FREE),
    "a content that is null": (_message(lambda one, role, content: one.update({content: None})), NOTICE),
    "a content that is missing": (_message(lambda one, role, content: one.pop(content) and None), NOTICE),
    "a content that is a number": (_message(lambda one, role, content: one.update({content: 1})), FREE),
    "a content that is a mapping": (_message(lambda one, role, content: one.update({content: {"a": 1}})), NOTICE),
    "a content in parts": (
        _message(lambda one, role, content: one.update({content: [{"type": "text", "text": one[content]}]})),
        NOTICE,
    ),
    "a content that is empty": (_message(lambda one, role, content: one.update({content: ""})), NOTICE),
    "a content that is blank": (_message(lambda one, role, content: one.update({content: " "})), NOTICE),
    "half a surrogate": (_message(lambda one, role, content: one.update({content: "\ud83d"})), NOTICE),
    "more keys": (_message(lambda one, role, content: one.update({"name": "x", "weight": 1})), HARMLESS),
    "tool calls": (
        _message(lambda one, role, content: one.update({"tool_calls": [{"function": {"name": "f"}}]})),
        FREE,
    ),
    "a system message alone": (lambda m, rng: [{_keys(m)[0]: "system", _keys(m)[1]: "be brief"}], FREE),
    "two turns of one role": (lambda m, rng: [m[0], *m], FREE),
    "the order reversed": (lambda m, rng: m[::-1], FREE),
    "no answer": (lambda m, rng: m[:1], FREE),
    "many turns": (lambda m, rng: m * 50, FREE),
}


def a_chat(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """One row's conversation is something else."""
    scene = SCENES[rng.choice(list(CHATS))]
    column = rng.choice(CHATS[scene.name])
    kind = rng.choice(list(ONE_CHAT))
    change, allowed = ONE_CHAT[kind]
    if scene.name == "sft-sharegpt" and "role" in kind:
        allowed = NOTICE
    of = len(scene.files["data/train.jsonl"])
    k, state = rng.randrange(of), rng.random()

    def edit(rows: Rows) -> None:
        _put(rows[k], column, change(rows[k][column], random.Random(state)))

    return scene, {
        "group": f"messages: {kind}",
        "allowed": allowed,
        "tokens": row_of(k, of),
        "edit": edit,
        "what": f"{scene.name} row {k}: {column} is {kind}",
    }


# How values of a column of arms, golds or difficulties change: of one row, or of all by its number
ARM_VALUES: dict[str, tuple[Callable[[Rows, str, int], None], str, tuple[str, ...]]] = {}


def _one(value: Any) -> Callable[[Rows, str, int], None]:
    return lambda rows, column, k: _put(rows[k], column, value)


def _all(make: Callable[[int], Any]) -> Callable[[Rows, str, int], None]:
    def edit(rows: Rows, column: str, k: int) -> None:
        for number, row in enumerate(rows):
            _put(row, column, make(number))

    return edit


ARM_VALUES = {
    "one null": (_one(None), NOTICE, ()),
    "one missing": (_one(GONE), NOTICE, ()),
    "all null": (_all(lambda k: None), REFUSE, ("topic",)),
    "all missing": (_all(lambda k: GONE), REFUSE, ("topic",)),
    "one empty": (_one(""), NOTICE, ("(?i)empty|blank",)),
    "one blank": (_one("  "), NOTICE, ("(?i)empty|blank|space",)),
    "near-equal by case": (_one("A"), NOTICE, ("'A'", "'a'")),
    "near-equal by a space": (_one("a "), NOTICE, ("'a '",)),
    "near-equal by a hidden letter": (_one("a\u200b"), NOTICE, ("'a",)),
    "near-equal by composition": (_all(lambda k: ["é", "e\u0301"][k % 2]), NOTICE, ("é|e\u0301",)),
    "bools": (_all(lambda k: k % 2 == 0), NOTICE, ("topic", "True")),
    "integers": (_all(lambda k: k % 2), NOTICE, ("topic", "weights", "arm")),
    "floats": (_all(lambda k: k % 2 + 0.5), NOTICE, ("topic", "weights", "arm")),
    "floats, one NaN": (_all(lambda k: math.nan if k == 3 else k % 2 + 0.5), NOTICE, ("topic",)),
    "lists": (_all(lambda k: ["ab"[k % 2]]), NOTICE, ("topic",)),
    "mappings": (_all(lambda k: {"x": "ab"[k % 2]}), NOTICE, ("topic",)),
    "one number among texts": (_one(3), NOTICE, ("topic", "'3'")),
    "one bool among texts": (_one(True), NOTICE, ("topic", "(?i)'true'")),
    "all the same": (_all(lambda k: "a"), NOTICE, ("topic", "arm")),
    "one per row": (_all(lambda k: f"r{k}"), NOTICE, ("topic", "arm", "weights")),
    "markup": (_all(lambda k: ["[/INST]", "[bold]b"][k % 2]), FREE, ("topic", "arm", "weights")),
    "control characters": (_all(lambda k: ["a\x1b[2J", "b\x00"][k % 2]), FREE, ("topic", "arm", "weights")),
    "long names": (_all(lambda k: "ab"[k % 2] * 400), FREE, ("topic", "arm", "weights")),
    "slashes": (_all(lambda k: ["a/b", "a-b"][k % 2]), FREE, ("topic", "arm", "weights")),
    "numbers as text": (_all(lambda k: ["1", "10"][k % 2]), FREE, ("topic", "arm", "weights")),
    "numbers that differ as text": (_all(lambda k: ["1", "1.0", "01"][k % 3]), FREE, ("topic", "arm", "weights")),
    "half a surrogate": (_one("\ud83d"), NOTICE, ("topic",)),
}


def arms(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """The column of arms holds something else."""
    return _column(rng, SCENES[rng.choice(ARMS)], "topic", ARM_VALUES, "arms")


LEVELS: dict[str, tuple[Callable[[Rows, str, int], None], str, tuple[str, ...]]] = {
    "one null": (_one(None), NOTICE, ()),
    "one missing": (_one(GONE), NOTICE, ()),
    "all null": (_all(lambda k: None), REFUSE, ("level",)),
    "one NaN": (_one(math.nan), NOTICE, ()),
    "one infinite": (_one(math.inf), NOTICE, ()),
    "one text": (_one("hard"), NOTICE, ()),
    "texts": (_all(lambda k: ["easy", "hard"][k % 2]), REFUSE, ("level",)),
    "numbers as text": (_all(lambda k: str(k % 4)), NOTICE, ("level",)),
    "bools": (_all(lambda k: k % 2 == 0), FREE, ("level",)),
    "lists": (_all(lambda k: [k]), REFUSE, ("level",)),
    "mappings": (_all(lambda k: {"x": k}), REFUSE, ("level",)),
    "dates": (_all(lambda k: f"2024-01-{k + 1:02d}"), REFUSE, ("level",)),
    "all the same": (_all(lambda k: 1), FREE, ("level",)),
    "huge": (_all(lambda k: 10**12 * k + 1), FREE, ("level",)),
    "beyond 64 bits": (_one(2**70), FREE, ("level",)),
    "negative": (_all(lambda k: -k), FREE, ("level",)),
}


def difficulties(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """The column of difficulties holds something else."""
    return _column(rng, SCENES[rng.choice(DIFFICULTIES)], "level", LEVELS, "difficulty")


GOLD_VALUES: dict[str, tuple[Callable[[Rows, str, int], None], str, tuple[str, ...]]] = {
    "one null": (_one(None), NOTICE, ()),
    "one missing": (_one(GONE), NOTICE, ()),
    "all null": (_all(lambda k: None), NOTICE, ("answer",)),
    "all missing": (_all(lambda k: GONE), REFUSE, ("answer",)),
    "one empty": (_one(""), NOTICE, ()),
    "one blank": (_one("  "), NOTICE, ()),
    "integers": (_all(lambda k: k), FREE, ("answer",)),
    "floats": (_all(lambda k: k / 2), FREE, ("answer",)),
    "floats, one NaN": (_all(lambda k: math.nan if k == 3 else k / 2), NOTICE, ("answer",)),
    "bools": (_all(lambda k: k % 2 == 0), FREE, ("answer",)),
    "lists": (_all(lambda k: [str(k)]), NOTICE, ("answer",)),
    "empty lists": (_all(lambda k: []), NOTICE, ("answer",)),
    "mappings": (_all(lambda k: {"value": str(k)}), NOTICE, ("answer",)),
    "one solution without a box": (_one("The number is larger than it was before."), FREE, ("answer",)),
    "solutions without a short answer": (
        _all(lambda k: f"First add {k}, then double. So it goes on."),
        NOTICE,
        ("answer",),
    ),
    "boxes": (_all(lambda k: f"so \\boxed{{{k}}}"), FREE, ("answer",)),
    "one open box": (_one("so \\boxed{4"), NOTICE, ("answer",)),
    "only marks": (_all(lambda k: "####"), NOTICE, ("answer",)),
    "one number among texts": (_one(3), FREE, ()),
    "half a surrogate": (_one("\ud83d"), NOTICE, ()),
}


def golds(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """The column of reference answers holds something else."""
    scene = rng.choice(list(GOLDS))
    return _column(rng, SCENES[scene], GOLDS[scene], GOLD_VALUES, "golds")


CHOICE_VALUES: dict[str, tuple[str, Callable[[Rows, str, int], None], str, tuple[str, ...]]] = {
    "options null": ("choices", _one(None), NOTICE, ()),
    "options empty": ("choices", _one([]), NOTICE, ()),
    "one option": ("choices", _one(["1"]), NOTICE, ()),
    "an option null": ("choices", _one(["1", None, "3"]), NOTICE, ()),
    "an option blank": ("choices", _one(["1", " ", "3"]), NOTICE, ()),
    "options twice the same": ("choices", _one(["1", "1", "1"]), NOTICE, ()),
    "options as a text": ("choices", _all(lambda k: "a, b, c"), NOTICE, ("choices",)),
    "options as numbers": ("choices", _all(lambda k: [1, 2, 3]), NOTICE, ("choices",)),
    "options of lists": ("choices", _all(lambda k: [["1"], ["2"], ["3"]]), NOTICE, ("choices",)),
    "thirty options": ("choices", _one([str(k) for k in range(30)]), NOTICE, ()),
    "right null": ("right", _one(None), NOTICE, ()),
    "right out of range": ("right", _one(3), NOTICE, ()),
    "right negative": ("right", _one(-1), NOTICE, ()),
    "right as a float": ("right", _all(lambda k: k % 3 + 0.5), NOTICE, ("right",)),
    "right as a text that is none": ("right", _all(lambda k: "none of these"), NOTICE, ("right",)),
    "right as bools": ("right", _all(lambda k: k % 2 == 0), NOTICE, ("right",)),
    "right as lists": ("right", _all(lambda k: [k % 3]), NOTICE, ("right",)),
}


def choices(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """The options of a multiple-choice question, or the right one, are something else."""
    kind = rng.choice(list(CHOICE_VALUES))
    column, *rest = CHOICE_VALUES[kind]
    table: Any = {kind: tuple(rest)}
    return _column(rng, SCENES["grpo-choices"], column, table, "choices")


def _column(
    rng: random.Random, scene: Scene, column: str, table: dict[str, tuple[Any, str, tuple[str, ...]]], group: str
) -> tuple[Scene, dict[str, Any]]:
    kind = rng.choice(list(table))
    edit, allowed, tokens = table[kind]
    of = len(scene.files["data/train.jsonl"])
    k = rng.randrange(of)
    more = row_of(k, of) if not tokens or kind.startswith("one ") else (*name(column), "weights")
    return scene, {
        "group": f"{group}: {kind}",
        "allowed": allowed,
        "tokens": (*more, *tokens),
        "edit": lambda rows: edit(rows, column, k),
        "what": f"{scene.name}: {column} has {kind} (row {k})",
    }


RESERVED = [
    *("labels", "input_ids", "attention_mask", "images", "image", "tools", "chat_template_kwargs", "completion_mask"),
    *("assistant_masks", "position_ids", "seq_lengths", "advantages", "row", "draw", "step", "length", "source"),
    *("curriculum_row", "completions", "completion_ids", "prompts", "prompt_ids", "trainer_state", "log_extra"),
    *("log_metric", "environments", "kwargs", "index", "__index_level_0__", "text", "messages", "completion"),
    *("conversations", "chosen", "rejected", "label", "weights", "num_items_in_batch", "arm", "words_of_answer"),
]
COLUMN_VALUES: list[tuple[str, Callable[[int], Any]]] = [
    ("texts", lambda k: f"x{k}"),
    ("numbers", lambda k: k),
    ("nulls", lambda k: None),
    ("lists of numbers", lambda k: [k, k + 1]),
    ("empty lists", lambda k: []),
    ("mappings", lambda k: {"a": k}),
]


def a_column(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """One more column, whose name has a meaning somewhere."""
    scene = SCENES[_often(rng, SCENES)]
    column = rng.choice([one for one in RESERVED if one not in scene.files["data/train.jsonl"][0]])
    kind, make = rng.choice(COLUMN_VALUES)
    allowed = HARMLESS if kind == "nulls" else NOTICE
    if column in ("tools", "chat_template_kwargs"):
        allowed = FREE

    def edit(rows: Rows) -> None:
        for k, row in enumerate(rows):
            row[column] = make(k)

    return scene, {
        "group": "columns: a name with a meaning",
        "allowed": allowed,
        "tokens": name(column),
        "edit": edit,
        "what": f"{scene.name}: a column {column!r} of {kind}",
    }


def _extra(rows: Rows) -> None:
    for k, row in enumerate(rows):
        row["my note"] = f"note {k}"


def _one_extra(rows: Rows) -> None:
    rows[len(rows) // 2]["my note"] = "x"


def _reordered(rows: Rows) -> None:
    for row in rows:
        items = list(row.items())[::-1]
        row.clear()
        row.update(items)


def _mixed(rows: Rows) -> None:
    for k, row in enumerate(rows):
        if k % 2:
            kept = {one: row[one] for one in ("topic", "level", "source") if one in row}
            chat = [turn("user", f"q{k}"), turn("assistant", f"a{k}")]
            row.clear()
            row |= {"messages": chat} if k % 4 == 1 else {"text": f"text {k}"}
            row |= kept


def _twice(rows: Rows) -> None:
    rows += copy.deepcopy(rows)


def _first_only(rows: Rows) -> None:
    del rows[1:]


def _renamed(rows: Rows) -> None:
    for row in rows:
        first = next(iter(row))
        row[first.capitalize()] = row.pop(first)


WHOLE: dict[str, tuple[Callable[[Rows], Any], str, tuple[str, ...]]] = {
    "no rows": (lambda rows: rows.clear(), REFUSE, ("(?i)empty|no rows|train",)),
    "one row": (_first_only, FREE, ("(?i)row",)),
    "two rows": (lambda rows: rows.__delitem__(slice(2, None)), FREE, ("(?i)row",)),
    "every row twice": (_twice, FREE, ("(?i)duplicate|twice|repeat",)),
    "rows without columns": (lambda rows: [row.clear() for row in rows], REFUSE, ("(?i)column|train|prompt|row",)),
    "one more column": (_extra, HARMLESS, ()),
    "one more column in one row": (_one_extra, HARMLESS, ()),
    "columns in another order": (_reordered, HARMLESS, ()),
    "formats mixed": (_mixed, NOTICE, ("(?i)row",)),
    "a column with another name": (_renamed, NOTICE, ("(?i)column|prompt|missing|messages|text",)),
}


def whole(rng: random.Random) -> tuple[Scene, dict[str, Any]]:
    """Rows or columns that are missing, repeated or mixed."""
    scene = SCENES[_often(rng, SCENES)]
    kind = rng.choice(list(WHOLE))
    edit, allowed, tokens = WHOLE[kind]
    file = rng.choice(FILES.get(scene.name, ["data/train.jsonl"]))
    return scene, {
        "group": f"dataset: {kind}",
        "allowed": allowed,
        "tokens": tokens or ("my note",),
        "edit": edit,
        "file": file,
        "what": f"{scene.name} {file}: {kind}",
    }


MAKERS = {
    a_text: 30,
    all_texts: 10,
    a_chat: 26,
    arms: 12,
    difficulties: 6,
    golds: 10,
    choices: 4,
    a_column: 16,
    whole: 14,
}


def make(rng: random.Random) -> Input:
    """An input of this kind."""
    scene, found = rng.choices(list(MAKERS), list(MAKERS.values()))[0](rng)
    file, edit = found.pop("file", "data/train.jsonl"), found.pop("edit")

    def prepare(folder: Path) -> None:
        rows = copy.deepcopy(scene.files[file])
        edit(rows)
        write_rows(folder / file, rows)

    return Input(scene=scene, prepare=prepare, dry=False, **found)


def _often(rng: random.Random, scenes: Any) -> str:
    """A scene; the slow ones seldom."""
    chosen = rng.choice(list(scenes))
    if chosen in ("select", "evolve") and rng.random() < 0.5:
        chosen = rng.choice([one for one in scenes if one not in ("select", "evolve")])
    return chosen


def _put(row: dict[str, Any], column: str, value: Any) -> None:
    if value is GONE:
        row.pop(column, None)
    else:
        row[column] = value
