"""One evaluation by lm-eval: a language model, tasks, and the scores that come of it."""

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ..disk.fingerprint import redact
from .code import comes_with_lm_eval, refuse_unconfirmed, refuse_unsafe, sandboxed
from .settings import EvaluationSettings


BOOTSTRAP = 1000  # draws for the standard errors of metrics that are no means
HIDDEN = ("alias", "name", "sample_len", "sample_count")  # what stands beside metrics in results
DATASET = ("dataset_path", "dataset_name", "test_split", "validation_split")  # what a task's config says of it


@dataclass(frozen=True)
class Score:
    """
    What a model has reached in a task by one metric.

    Args:
        task, metric (`str`):
            Names, the metric's with the filter of answers where there are several, such as `exact_match,strict-match`.
        value, stderr (`float`):
            Mean over the rows, and its standard error; NaN where lm-eval gives none.
        rows (`int`, *optional*):
            How many were asked; of a group none are told.
    """

    task: str
    metric: str
    value: float
    stderr: float
    rows: int | None


def load_tasks(settings: EvaluationSettings, manager: Any, names: Sequence[str] | None = None) -> dict[str, Any]:
    """
    Loads tasks with their rows.

    Args:
        settings ([`EvaluationSettings`]):
            Of which are theirs the examples, and how answers are generated.
        manager (`lm_eval.tasks.TaskManager`):
            The index, see [`~trl_curriculum.evaluation.index.find_tasks`].
        names (`Sequence[str]`, *optional*):
            Those of the settings' tasks that are loaded, by default all.

    Returns:
        `dict`: tasks and groups as lm-eval takes them.

    Raises:
        `ValueError`: in one sentence, where the rows of a task cannot be had, or a task may not run.
    """
    loaded: dict[str, Any] = {"tasks": {}, "groups": {}, "group_map": {}}
    for name in names or settings.tasks:
        entry = manager.task_index[name]
        spec: Any = name
        if (entry.cfg or {}).get("unsafe_code"):
            refuse_unconfirmed(name, settings.confirm_run_unsafe_code)
            spec = sandboxed(name, entry.cfg) if comes_with_lm_eval(entry) else name
        found = _load(name, spec, manager)
        for part, each in loaded.items():
            each.update(found.get(part) or {})
    for name, task in loaded["tasks"].items():
        refuse_unsafe(name, task, settings.confirm_run_unsafe_code)
        if settings.gen_kwargs and task.get_config("output_type") == "generate_until":
            task.set_config("generation_kwargs", settings.gen_kwargs, update=True)
        own = task.get_config("num_fewshot")
        if settings.num_fewshot is not None and own != 0:  # a task that says 0 means it
            task.set_config("num_fewshot", settings.num_fewshot)
        elif own is None:
            task.set_config("num_fewshot", 0)
    return loaded


def _load(name: str, spec: Any, manager: Any) -> dict[str, Any]:
    try:
        with quiet():
            return manager.load([spec])
    except ImportError as error:
        raise ImportError(f"The task {name!r} needs a package that is missing: {_first_line(error)}.") from error
    except Exception as error:  # of datasets, the Hub, or a task's own functions
        elsewhere = isinstance(error, OSError) and type(error) is not FileNotFoundError
        more = ": its rows must be in the cache, or the Hub must be reachable (HF_HUB_OFFLINE not set)"
        raise ValueError(
            f"The task {name!r} cannot be loaded ({type(error).__name__}: {_first_line(error)}){more * elsewhere}."
        ) from error


def measure(lm: Any, loaded: dict[str, Any], settings: EvaluationSettings) -> dict[str, Any]:
    """
    Evaluates a language model on loaded tasks.

    It is `lm_eval.evaluate`, and not `simple_evaluate`, which seeds all generators of the process and asks pip for its
    packages each time.

    Args:
        lm (`lm_eval.api.model.LM`):
            The model.
        loaded (`dict`):
            Of [`load_tasks`].
        settings ([`EvaluationSettings`]):
            How.

    Returns:
        `dict`: of what `simple_evaluate` returns, and by its names, the numbers and what they are scores of. It can be
        written as JSON, and holds no functions and no secrets. [`read_scores`] and
        [`~trl_curriculum.publish.evals.scores`] read it.

    Raises:
        `ValueError`: where the model cannot be asked so, see [`check_model`].
    """
    import lm_eval
    import torch

    check_model(lm, loaded, settings)
    began = time.time()
    for task in loaded["tasks"].values():
        task.set_fewshot_seed(seed=settings.seed)
    torch.manual_seed(settings.seed)
    with quiet(), in_one_process():
        found = lm_eval.evaluate(
            lm=lm,
            task_dict=loaded,
            limit=settings.limit,
            bootstrap_iters=BOOTSTRAP,
            log_samples=False,
            system_instruction=settings.system_instruction,
            apply_chat_template=settings.apply_chat_template,
            fewshot_as_multiturn=settings.apply_chat_template,
            confirm_run_unsafe_code=settings.confirm_run_unsafe_code,
        )
    made = {"config": {"limit": settings.limit}, "date": began, "lm_eval_version": lm_eval.__version__}
    return _plain(found) | made


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: found[name] for name in ("versions", "n-shot", "n-samples")}
    for part in ("results", "groups"):
        rows = (found.get(part) or {}).items()
        kept[part] = {name: {key: one for key, one in row.items() if _number(one) == one} for name, row in rows}
    kept["configs"] = {}
    for name, config in found["configs"].items():
        measured = {key.split(",")[0] for key in found["results"][name]}
        listed = [one["metric"] for one in config.get("metric_list") or () if one["metric"] in measured]
        said = {key: config[key] for key in DATASET if config.get(key) is not None}
        revision = (config.get("dataset_kwargs") or {}).get("revision")
        kept["configs"][name] = redact(said | {"dataset_kwargs": {"revision": revision}}) | {
            "metric_list": [{"metric": one} for one in listed]
        }
    return kept


def read_scores(found: dict[str, Any]) -> list[Score]:
    """The scores in what [`measure`] returns: of groups first, then of tasks."""
    scores = []
    for name, row in ((found.get("groups") or {}) | found["results"]).items():
        rows = (found.get("n-samples") or {}).get(name, {}).get("effective")
        keys = [key for key in row if key.split(",")[0] not in HIDDEN and "_stderr," not in key]
        for key in keys:
            metric, _, chosen = key.partition(",")
            value, stderr = (_number(one) for one in (row[key], row.get(f"{metric}_stderr,{chosen}")))
            scores.append(Score(name, metric if chosen in ("", "none") else key, value, stderr, rows))
    return [one for one in scores if not math.isnan(one.value)]


def check_model(lm: Any, loaded: dict[str, Any], settings: EvaluationSettings) -> None:
    """Refuses tasks that generate more tokens than the model has room for, and a chat template that it has not."""
    tokenizer = getattr(lm, "tokenizer", None)
    if settings.apply_chat_template and getattr(tokenizer, "chat_template", "") is None:
        raise ValueError("apply_chat_template is set, and the model's tokenizer has no chat template: leave it out.")
    window = getattr(lm, "max_length", None)
    for name, task in loaded["tasks"].items():
        wanted = (task.get_config("generation_kwargs") or {}).get("max_gen_toks")
        if window is not None and wanted is not None and wanted >= window:
            raise ValueError(
                f"The task {name!r} generates up to {wanted} tokens, and the model has room for {window} with the "
                f'question: set gen_kwargs to less, such as {{"max_gen_toks": {window // 2}}}.'
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Leaves out what lm-eval warns of that is meant here, such as a model that is given as an object."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def in_one_process() -> Iterator[None]:
    """Has lm-eval draw its bootstraps here: a fork of a process that trains may hang."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__).rstrip(".:")
