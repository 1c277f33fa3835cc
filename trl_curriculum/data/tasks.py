"""Procedural task families of reasoning-gym as datasets with verifiable answers: one spec a level (or other arm)."""

import dataclasses
import importlib.metadata
import json
from collections.abc import Iterator
from typing import Any

from datasets import Dataset, Features, IterableDataset, Value, concatenate_datasets
from datasets.exceptions import DatasetGenerationError

from ..registry import nearest


INSTRUCTION = "Think step by step, then put your final answer, and nothing else, inside \\boxed{}."
MAX_SIZE = 1_000_000  # reasoning-gym seeds row i with `seed + i`: this keeps the rows of two seeds apart
CHUNK = 64  # rows of a stream that are a shard of it: a resume makes fewer than these again
COLUMNS = ("prompt", "answer", "family", "entry")
# Their scorers run answers, or parts of the entry, as Python or sympy code: only a sandbox makes that safe.
UNSAFE_FAMILIES = (
    "bitwise_arithmetic",
    "composite",
    "intermediate_integration",
    "polynomial_multiplication",
    "simple_integration",
)


def reasoning_gym_dataset(
    specs: list[dict[str, Any]],
    system: str | None = None,
    instruction: str | None = INSTRUCTION,
    num_proc: int | None = None,
) -> Dataset:
    r"""
    Generate a conversational prompt-only dataset from reasoning-gym task families.

    The result has the columns `prompt`, `answer` (one right answer), `family`, `entry` (what the family's scorer
    needs, as JSON, see [`~trl_curriculum.rewards.reasoning_gym_accuracy`]) and one column per label of the specs. It
    depends on the arguments and on the installed release of reasoning-gym only, and is cached like any other dataset.
    A row takes 0.2 ms (`arc_1d`) to 2 s (`zebra_puzzles` with 6 houses) to generate: give slow families a `num_proc`.

    SEC (arXiv 2505.14970) trains on 10,000 rows of each of three levels and tests on 200 of each, and of a fourth:

    | family | config | levels | fourth level |
    |---|---|---|---|
    | `countdown` | `min_numbers` = `max_numbers` = L, values 1 to 100, targets 1 to 1000 | 3, 4, 5 | 6 |
    | `zebra_puzzles` | `num_people` = `num_characteristics` = L | 3, 4, 5 | 6 |
    | `arc_1d` | `min_size` = `max_size` = L, `num_train` = 3 | 10, 20, 30 | 40 |

    A zebra puzzle of reasoning-gym asks for one name only: blind guessing scores 1 / `num_people`.

    Args:
        specs (`list[dict]`):
            One dictionary per block of rows: `family`, `size`, `seed` (default 0), `config` (the family's own options)
            and any labels, which become columns: `{"family": "countdown", "size": 10, "config": {...}, "level": 3}`.
            Blocks with different seeds share no random numbers, unlike in reasoning-gym itself, where seed 1 repeats
            all but one of the rows of seed 0.
        system (`str`, *optional*):
            System message of every prompt.
        instruction (`str`, *optional*):
            Appended to every question. The default asks for the answer in `\boxed{}`.
        num_proc (`int`, *optional*):
            Number of processes to generate with.

    Example:
    ```python
    >>> from trl_curriculum.data.tasks import reasoning_gym_dataset

    >>> config = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    >>> dataset = reasoning_gym_dataset([{"family": "chain_sum", "size": 3, "seed": 1, "config": config, "level": 1}])
    >>> dataset.column_names
    ['prompt', 'answer', 'family', 'entry', 'level']

    ```
    """
    labels = _labels(specs)
    return concatenate_datasets([_generate(spec, labels, system, instruction, num_proc) for spec in specs])


def reasoning_gym_streams(
    specs: list[dict[str, Any]], system: str | None = None, instruction: str | None = INSTRUCTION
) -> dict[str, IterableDataset]:
    """
    The same rows as streams, one a spec, for a curriculum of which each is an arm: a row is made when it is drawn.

    Args:
        specs (`list[dict]`):
            As in [`reasoning_gym_dataset`]; without a `size` a stream has a million rows.
        system, instruction (`str`, *optional*):
            As there.

    Returns:
        `dict[str, datasets.IterableDataset]`: by their labels, such as `"3"` or `"3/easy"`, or by their families where
        there are none.
    """
    whole = [{"size": MAX_SIZE} | spec for spec in specs]
    labels = _labels(whole)
    names = ["/".join(str(spec[name]) for name in labels) or spec["family"] for spec in whole]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"Two task specs are called {twice!r}: give each labels of its own, such as `level`.")
    made = {}
    for name, spec in zip(names, whole, strict=True):
        chunks = [[begin, min(begin + CHUNK, spec["size"])] for begin in range(0, spec["size"], CHUNK)]
        given = {"chunks": chunks} | _given(spec, system, instruction)
        made[name] = IterableDataset.from_generator(_chunks, features=_features(spec, labels), gen_kwargs=given)
    return made


def disjoint(train: Dataset, test: Dataset) -> Dataset:
    """Return the rows of `train` whose prompt does not occur in `test`, so that the test set stays what it is."""
    held_out = {_key(prompt) for prompt in test["prompt"]}
    keep = [row for row, prompt in enumerate(train["prompt"]) if _key(prompt) not in held_out]
    return train if len(keep) == len(train) else train.select(keep)


def load_family(family: str, **config: Any) -> Any:
    """Return the [`reasoning_gym.dataset.ProceduralDataset`] of a family."""
    try:
        from reasoning_gym.factory import DATASETS, create_dataset
    except ImportError as error:
        raise ImportError(
            f"The task family '{family}' needs reasoning-gym: run `pip install 'trl_curriculum[evals]'`."
        ) from error
    if family not in DATASETS:
        raise ValueError(
            f"Unknown task family '{family}'{nearest(family, DATASETS)}: choose one of reasoning-gym's families."
        )
    if family in UNSAFE_FAMILIES:
        raise ValueError(
            f"Task family '{family}' is refused because its scorer executes text as code: choose another family."
        )
    fields = {field.name for field in dataclasses.fields(DATASETS[family][1])}
    for name in config:
        if name not in fields:
            raise ValueError(
                f"Unknown option '{name}' in the config of task family '{family}'{nearest(name, fields)}: "
                f"it takes {sorted(fields - {'seed', 'size'})}."
            )
    try:
        return create_dataset(family, **config)
    except (AssertionError, TypeError, ValueError) as error:
        raise ValueError(f"reasoning-gym refuses the config {config} of task family '{family}': {error}.") from error


def _check(position: int, spec: dict[str, Any]) -> list[str]:
    """Return the labels of a spec, once everything else in it is known to be right."""
    for name, kind in (("family", str), ("size", int)):
        if not isinstance(spec.get(name), kind):
            raise ValueError(f"Task spec {position} needs `{name}` ({kind.__name__}), got {spec.get(name)!r}.")
    if not 0 < spec["size"] <= MAX_SIZE:
        raise ValueError(f"Task spec {position} has size {spec['size']}: give 1 to {MAX_SIZE}.")
    if not isinstance(spec.get("seed", 0), int) or spec.get("seed", 0) < 0:
        raise ValueError(f"Task spec {position} has seed {spec['seed']!r}: give a whole number from 0 on.")
    for name in ("size", "seed"):
        if name in (spec.get("config") or {}):
            raise ValueError(f"Task spec {position} has `{name}` in its `config`: move it one level up.")
    labels = [name for name in spec if name not in ("family", "size", "seed", "config")]
    for name in labels:
        if name in COLUMNS:
            raise ValueError(f"Task spec {position} has a label '{name}', which is a column already: rename it.")
    load_family(spec["family"], **_config(spec))
    return labels


def _labels(specs: list[dict[str, Any]]) -> list[str]:
    """Return the labels of all specs, which must have the same, once everything else in them is known to be right."""
    if not specs:
        raise ValueError("`tasks` is empty: give at least one spec such as {family: countdown, size: 100}.")
    labels = [_check(position, spec) for position, spec in enumerate(specs)]
    if other := [names for names in labels if set(names) != set(labels[0])]:
        raise ValueError(f"Some task specs have the labels {labels[0]}, others {other[0]}: give all the same labels.")
    return labels[0]


def _config(spec: dict[str, Any]) -> dict[str, Any]:
    return {**(spec.get("config") or {}), "size": spec["size"], "seed": spec.get("seed", 0) * MAX_SIZE}


def _generate(
    spec: dict[str, Any], labels: list[str], system: str | None, instruction: str | None, num_proc: int | None
) -> Dataset:
    try:
        return Dataset.from_generator(
            _rows,
            features=_features(spec, labels),
            # datasets splits the one list among the processes, and recognises a cached dataset by these values
            gen_kwargs={"rows": list(range(spec["size"])), **_given(spec, system, instruction)},
            num_proc=min(num_proc, spec["size"]) if num_proc else None,
        )
    except DatasetGenerationError as error:
        raise ValueError(f"Could not generate task family '{spec['family']}': {error.__cause__}") from error


def _features(spec: dict[str, Any], labels: list[str]) -> Features:
    message = {"role": Value("string"), "content": Value("string")}
    features = {"prompt": [message], **dict.fromkeys(("answer", "family", "entry"), Value("string"))}
    label_features = Dataset.from_list([{name: spec[name] for name in labels}]).features if labels else {}
    return Features({**features, **label_features})


def _given(spec: dict[str, Any], system: str | None, instruction: str | None) -> dict[str, Any]:
    """What rows are made from, besides their numbers."""
    return {
        "spec": json.dumps(spec, sort_keys=True),
        "system": system,
        "instruction": instruction,
        "version": f"{importlib.metadata.version('reasoning-gym')}-1",  # raise the 1 when `_rows` changes
    }


def _chunks(chunks: list[list[int]], **given: Any) -> Iterator[dict[str, Any]]:
    for begin, end in chunks:
        yield from _rows(list(range(begin, end)), **given)


def _rows(
    rows: list[int], spec: str, system: str | None, instruction: str | None, version: str
) -> Iterator[dict[str, Any]]:
    values = json.loads(spec)
    family = load_family(values["family"], **_config(values))
    labels = {name: value for name, value in values.items() if name not in ("size", "seed", "config")}
    for row in rows:
        entry = _entry(family, row)
        dumped = _dump(entry, values)
        if row == rows[0] and _score(family, entry, json.loads(dumped)) != _score(family, entry, entry):
            raise ValueError("its scorer does not survive JSON, choose another family.")
        question = entry["question"].strip() + (f"\n\n{instruction}" if instruction else "")
        prompt = [{"role": "system", "content": system}] if system else []
        prompt.append({"role": "user", "content": question})
        yield {
            "prompt": prompt,
            "answer": "" if entry["answer"] is None else str(entry["answer"]),
            "entry": dumped,
            **labels,
        }


def _entry(family: Any, row: int, attempts: int = 20) -> dict[str, Any]:
    """Generate one entry. Where a family gives up on a seed, one from beyond the dataset's end stands in."""
    for attempt in range(attempts):
        try:
            return family[row + attempt * family.size]
        except ValueError as error:
            failure = error
    raise failure


def _score(family: Any, answered: dict[str, Any], entry: dict[str, Any]) -> float:
    return family.score_answer(answered["answer"], entry)


def _dump(entry: dict[str, Any], spec: dict[str, Any]) -> str:
    kept = {name: entry[name] for name in ("question", "answer", "metadata")}
    kept["config"] = spec.get("config") or {}  # a few scorers look at it
    return json.dumps(kept, default=lambda value: value.item() if hasattr(value, "item") else str(value))


def _key(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps([message["content"] for message in prompt])
