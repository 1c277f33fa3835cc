"""Scores of lm-eval as the Hub shows them: `.eval_results/*.yaml`, and the `model-index` of the card."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from numbers import Real
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, eval_result_entries_to_yaml

from ..disk.atomic import atomic_write
from ..disk.stages import MARK
from ..evaluation.models import weights_keys
from ..evaluation.results import FOLDER, Results, results_file
from ..report.public import public_name
from .files import CARD, EVALS


STDERR = "_stderr"


@dataclass(frozen=True)
class HubScore:
    """A score of a task whose dataset is on the Hub, as lm-eval has measured it."""

    task: str
    dataset: str
    subset: str | None
    split: str | None
    revision: str | None
    metric: str
    filter: str
    value: float
    stderr: float | None
    shots: int | None
    version: Any
    first: bool  # of its task

    @property
    def how(self) -> str:
        """How it was measured, in words."""
        parts = [f"task {self.task}", f"version {self.version}" if self.version is not None else ""]
        parts += [f"{self.metric},{self.filter}", f"{self.shots}-shot" if self.shots is not None else ""]
        parts.append(f"standard error {self.stderr:.4g}" if self.stderr is not None else "")
        return ", ".join(filter(None, parts))


def eval_entries(results: Mapping[str, Any]) -> list[EvalResultEntry]:
    """
    Entries for `.eval_results/*.yaml`: of each task its first score, which the task's config names first.

    Args:
        results (`Mapping[str, Any]`):
            What lm-eval's `simple_evaluate` returns, or its file of results: `results`, `configs`, `versions`,
            `n-shot`. Tasks whose dataset is not on the Hub, as `owner/name`, are left out; so are groups of tasks.

    Returns:
        `list[EvalResultEntry]`, with how each was measured and its standard error as notes.
    """
    version, date = results.get("lm_eval_version"), results.get("date")
    made = datetime.fromtimestamp(date, UTC).isoformat(timespec="seconds") if isinstance(date, int | float) else None
    by = f"lm-eval {version}" if version else "lm-eval"
    return [
        EvalResultEntry(
            dataset_id=one.dataset,
            task_id=one.subset or "default",
            value=one.value,
            dataset_revision=one.revision,
            date=made,
            notes=f"{by}, {one.how}",
        )
        for one in scores(results)
        if one.first
    ]


def model_index(results: Mapping[str, Any]) -> list[EvalResult]:
    """All scores of the same tasks for the `model-index` of a card, with their standard errors in their names."""
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=one.dataset,
            dataset_name=one.dataset,
            dataset_config=one.subset,
            dataset_split=one.split,
            dataset_revision=one.revision,
            metric_type=one.metric,
            metric_value=one.value,
            metric_name=one.how,
        )
        for one in scores(results)
    ]


def scores(results: Mapping[str, Any]) -> Iterator[HubScore]:
    """
    The scores of tasks whose dataset is on the Hub, in the order of their tasks.

    Raises:
        `ValueError`: where only a part of each task's rows was scored.
    """
    limit = (results.get("config") or {}).get("limit")
    if limit is not None:
        raise ValueError(f"The scores are those of a part of the rows (limit={limit}): run lm-eval without a limit.")
    for task, values in results["results"].items():
        config = results["configs"].get(task) or {}
        dataset = public_name(config.get("dataset_path"))
        if dataset is None or "/" not in dataset:  # a folder, or a builder such as `json`
            continue
        listed = [one["metric"] for one in config.get("metric_list") or () if isinstance(one.get("metric"), str)]
        found = [name.split(",", 1) for name in values if "," in name and STDERR not in name.split(",")[0]]
        found.sort(key=lambda one: listed.index(one[0]) if one[0] in listed else len(listed))  # stable
        kwargs = config.get("dataset_kwargs") or {}
        first = True
        for metric, kind in found:
            value, error = values[f"{metric},{kind}"], values.get(f"{metric}{STDERR},{kind}")
            if not _is_number(value):
                continue
            yield HubScore(
                task=task,
                dataset=dataset,
                subset=config.get("dataset_name"),
                split=config.get("test_split") or config.get("validation_split"),
                revision=kwargs.get("revision"),
                metric=metric,
                filter=kind,
                value=float(value),
                stderr=float(error) if _is_number(error) else None,
                shots=results.get("n-shot", {}).get(task),
                version=results.get("versions", {}).get(task),
                first=first,
            )
            first = False


@dataclass(frozen=True)
class Evals:
    """
    Results in a file, of lm-eval or of `trl-curriculum eval`.

    Args:
        results (`list[Mapping[str, Any]]`):
            Those that may be shown, each as [`scores`] takes them.
        left_out (`list[str]`):
            Why others may not, in a sentence each.
        outdated (`list[Mapping[str, Any]]`):
            Of those the ones of other weights, which an earlier push may have shown.
    """

    results: list[Mapping[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    outdated: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def tasks(self) -> list[str]:
        """Of which there is a score to show."""
        return [one.task for each in self.results for one in scores(each) if one.first]

    def outdated_files(self) -> list[tuple[str, str]]:
        """Places and texts of what may have been written of other weights; a task may be there twice, by its group."""
        return [item for each in self.outdated for item in _files(each).items()]


def find_results(model: Path) -> Path | None:
    """
    Where `trl-curriculum eval` keeps the results of a model by default: its own, or of a run of which only checkpoints
    were evaluated those of the checkpoint that has its weights.
    """
    own = results_file(str(model))
    if own.is_file():
        return own
    weights = weights_keys(str(model))
    for file in sorted((model / FOLDER).glob("checkpoint-*.json")):
        if any(task["made_with"]["weights"] == weights for task in Results(file).tasks.values()):
            return file
    return None


def read_results(file: Path, model: Path) -> Evals:
    """
    Results in a file, of lm-eval or of `trl-curriculum eval`.

    Args:
        file (`Path`):
            The file.
        model (`Path`):
            Folder of the model that is published. Of the command's results those of other weights are left out, and
            those of a part of the rows.

    Raises:
        `ValueError`: where it is none.
    """
    wanted = "give the results_*.json that lm-eval has written, or the file of `trl-curriculum eval`"
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{file} is no JSON ({error}): {wanted}.") from error
    if isinstance(results, dict) and MARK.items() <= results.items():
        return _of_the_command(Results(file), model)
    keys = ("results", "configs")
    if not isinstance(results, dict) or not all(isinstance(results.get(name), dict) for name in keys):
        raise ValueError(f"{file} has no results and configs: {wanted}.")
    return Evals([results])


def _of_the_command(found: Results, model: Path) -> Evals:
    evals, seen, weights = Evals(), set[str](), weights_keys(str(model))
    for task, one in found.tasks.items():
        new = {name: row for name, row in one[FOLDER]["results"].items() if name not in seen}  # a group's may be both
        whole = one[FOLDER] | {"results": new, "config": {}}
        limit = one[FOLDER]["config"]["limit"]
        if not any(scores(whole)):
            if new:
                evals.left_out.append(
                    f"{task} in {found.file} is left out: it has no score over a dataset of the Hub."
                )
            continue
        if one["made_with"]["weights"] != weights:
            evals.left_out.append(
                f"{task} in {found.file} is left out: it was evaluated with other weights than {model} has now, so "
                "evaluate it again."
            )
            evals.outdated.extend([whole] if limit is None else [])
        elif limit is not None:
            evals.left_out.append(
                f"{task} in {found.file} is left out: its scores are those of a part of the rows (limit={limit:g}), "
                "so evaluate it without a limit."
            )
        else:
            evals.results.append(whole)
            seen |= new.keys()
    return evals


def write_evals(folder: Path, evals: Evals) -> None:
    """
    Writes `.eval_results/*.yaml`, a file a task, and the `model-index` of the card, in the folder of a run; what was
    written there of other weights is removed.
    """
    for place, text in evals.outdated_files():
        if (folder / place).is_file() and (folder / place).read_text(encoding="utf-8") == text:
            (folder / place).unlink()
    for each in evals.results:
        for place, text in _files(each).items():
            with atomic_write(folder / place) as draft:
                draft.write_text(text, encoding="utf-8")
    card_file = folder / CARD
    if not card_file.exists() or not (evals.tasks or evals.outdated):
        return
    card = ModelCard(card_file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    before = card.data.get("eval_results") or []
    outdated = [one for each in evals.outdated for one in model_index(each)]
    now = [one for each in evals.results for one in model_index(each)] or [
        one for one in before if one not in outdated
    ]
    if now != before:
        card.data["model_name"] = card.data.get("model_name") or folder.resolve().name
        card.data["eval_results"] = now or None
        with atomic_write(card_file) as draft:
            draft.write_text(str(card), encoding="utf-8")


def _files(results: Mapping[str, Any]) -> dict[str, str]:
    """Places and texts of a file a task."""
    names = [re.sub(r"[^\w.-]", "_", one.task) for one in scores(results) if one.first]
    texts = [yaml.safe_dump(eval_result_entries_to_yaml([one]), sort_keys=False) for one in eval_entries(results)]
    return {f"{EVALS}/{name}.yaml": text for name, text in zip(names, texts, strict=True)}


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and value == value  # NaN is not itself
