"""
`trl-curriculum eval`: benchmarks of a model, or of all checkpoints of a run, by lm-eval.

Results are JSON files; what is done with the same weights, tasks and versions is not done again.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from rich.table import Table
from tqdm.auto import tqdm

from ..evaluation.index import check_lm_eval, find_tasks, tasks_key, versions
from ..evaluation.measure import load_tasks, measure, quiet
from ..evaluation.models import (
    BACK_ENDS,
    check_back_end,
    check_weights_are_there,
    find_checkpoints,
    make_model,
    model_args,
    weights_keys,
)
from ..evaluation.results import Results, results_file
from ..evaluation.settings import EvaluationSettings
from ..lm.dtypes import check_dtype
from ..lm.loading import check_folder, loading
from ..report.terminal import show, table
from ..scripts.launch import parse
from ..scripts.parser import RecipeParser
from ..scripts.repeats import read_json
from ..scripts.train import model_path
from ..stdout import say


OF_NO_RESULT = ("tasks", "batch_size", "confirm_run_unsafe_code", "include_path")  # on which no score depends


def _field(name: str) -> Any:
    """An argument that the settings of an evaluation declare."""
    declared = {one.name: one for one in fields(EvaluationSettings)}[name]
    return field(default=declared.default, metadata={"help": declared.metadata["help"]})


@dataclass
class EvalArguments:
    """
    Arguments of `trl-curriculum eval`.

    Args:
        tasks, limit, num_fewshot, batch_size, apply_chat_template, system_instruction, gen_kwargs, include_path, \
        confirm_run_unsafe_code, seed:
            See [`~trl_curriculum.evaluation.settings.EvaluationSettings`].
        model_name_or_path (`str`, *optional*):
            Model of the Hub, folder of a model or of its adapters (LoRA), or with `checkpoints` of a run.
        checkpoints (`list[str]`, *optional*):
            `all`, or the steps of those checkpoints of the run that are evaluated.
        model_revision (`str`, *optional*, defaults to `"main"`):
            Its revision on the Hub.
        dtype (`str`, *optional*, defaults to `"auto"`):
            Its weights' type.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Whether code of the model's repository may run here.
        use_cpu (`bool`, *optional*, defaults to `False`):
            Whether `"hf"` leaves a GPU alone.
        back_end (`str`, *optional*, defaults to `"hf"`):
            What computes: `"hf"` (transformers) or `"vllm"`.
        back_end_options (`dict`, *optional*):
            Further arguments of lm-eval's model, such as `{"gpu_memory_utilization": 0.8}`.
        out (`str`, *optional*):
            Folder for the results; see [`~trl_curriculum.evaluation.results.results_file`].
        dry_run (`bool`, *optional*, defaults to `False`):
            Whether to say what would be evaluated, and no more.
    """

    tasks: list[str] | None = field(default=None, metadata={"help": "Tasks, groups or tags by their names."})
    limit: float | None = _field("limit")
    num_fewshot: int | None = _field("num_fewshot")
    batch_size: int = _field("batch_size")
    apply_chat_template: bool = _field("apply_chat_template")
    system_instruction: str | None = _field("system_instruction")
    gen_kwargs: dict[str, Any] | str | None = field(default=None, metadata=_field("gen_kwargs").metadata)
    include_path: str | None = _field("include_path")
    confirm_run_unsafe_code: bool = _field("confirm_run_unsafe_code")
    seed: int = _field("seed")
    model_name_or_path: str | None = field(
        default=None, metadata={"help": "Hub id or folder of a model, or of a run."}
    )
    checkpoints: list[str] | None = field(default=None, metadata={"help": "`all`, or steps of a run's checkpoints."})
    model_revision: str = field(default="main", metadata={"help": "Revision of the model on the Hub."})
    dtype: str = field(default="auto", metadata={"help": "Type of the weights, such as bfloat16."})
    trust_remote_code: bool = field(default=False, metadata={"help": "Whether the model's own code may run here."})
    use_cpu: bool = field(default=False, metadata={"help": "Leave a GPU alone (hf)."})
    back_end: str = field(default="hf", metadata={"help": "What computes.", "choices": list(BACK_ENDS)})
    back_end_options: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Further arguments of lm-eval's model."}
    )
    out: str | None = field(default=None, metadata={"help": "Folder for the results."})
    dry_run: bool = field(default=False, metadata={"help": "Say what would be evaluated, and no more."})

    def __post_init__(self) -> None:
        for name in ("gen_kwargs", "back_end_options"):
            if isinstance(value := getattr(self, name), str):
                setattr(self, name, read_json(value))
        given = {one.name: getattr(self, one.name) for one in fields(EvaluationSettings)}
        self.settings = EvaluationSettings(**given | {"tasks": self.tasks or ()})
        check_dtype(self.dtype)
        self.options: dict[str, Any] = dict(self.back_end_options or {})  # type: ignore[arg-type]
        for name in self.options:
            if name in ("pretrained", "dtype", "revision", "trust_remote_code", "device", "batch_size"):
                raise ValueError(f"{name} in back_end_options is an argument of its own: give it beside them.")

    def models(self) -> tuple[list[str], list[str]]:
        """What is evaluated, and which checkpoints are left out and why."""
        name = model_path(self.model_name_or_path)
        if self.checkpoints is not None:
            found, left_out = find_checkpoints(
                name, [self.checkpoints] if isinstance(self.checkpoints, str) else self.checkpoints
            )
            return list(map(str, found)), left_out
        check_folder(name)
        if Path(name).is_dir():
            check_weights_are_there(Path(name))
        return [name], []

    def made_with(self, model: str) -> dict[str, Any]:
        """What the scores of a model depend on besides the task."""
        settings = {name: value for name, value in asdict(self.settings).items() if name not in OF_NO_RESULT}
        return {
            "weights": weights_keys(model),
            "revision": self.model_revision,
            "dtype": self.dtype,
            "back_end": self.back_end,
            "back_end_options": self.options,
            "settings": settings,
            "tasks": tasks_key(self.include_path),
            "versions": versions(),
        }

    def load(self, model: str) -> Any:
        """The model, as lm-eval sees it."""
        given: dict[str, Any] = {"dtype": self.dtype, "trust_remote_code": self.trust_remote_code}
        if not Path(model).is_dir():
            given["revision"] = self.model_revision
        if self.back_end == "hf":
            import torch

            given["device"] = "cuda" if torch.cuda.is_available() and not self.use_cpu else "cpu"
        with quiet(), loading({"model_name_or_path": model}):
            arguments = model_args(model, self.back_end, given | self.options)
            return make_model(self.back_end, arguments, self.batch_size)


def make_parser(prog: str | None = None) -> RecipeParser:
    """The parser of this command."""
    types: Any = (EvalArguments,)
    return RecipeParser(types, prog=prog)


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    if not argv:
        raise ValueError("Say what to evaluate: `--config RECIPE.yaml`, or `--help` for all arguments.")
    args, launch_args = parse(make_parser("trl-curriculum eval"), argv, command="eval")
    if launch_args.from_config:
        raise ValueError(f"{launch_args.from_config[0].removeprefix('--')}: evaluating is one process, leave it out.")
    check_lm_eval()
    check_back_end(args.back_end)
    models, left_out = args.models()
    for reason in left_out:
        print(reason, file=sys.stderr)
    manager = find_tasks(args.settings.tasks, args.include_path)
    results = {model: Results(results_file(model, args.out)) for model in models}
    keys = {model: args.made_with(model) for model in models}
    todo = {
        model: [task for task in args.settings.tasks if not results[model].has(task, keys[model])] for model in models
    }
    n_done = sum(len(args.settings.tasks) - len(tasks) for tasks in todo.values())
    say(f"models: {len(models)}, tasks: {len(args.settings.tasks)}, results that are there already: {n_done}")
    if args.dry_run:
        for model, tasks in todo.items():
            say(f"{model}: {', '.join(tasks) or 'nothing to do'}")
        return 0
    wanted = [task for task in args.settings.tasks if any(task in tasks for tasks in todo.values())]
    loaded = {task: load_tasks(args.settings, manager, [task]) for task in wanted}  # mistakes come before any model
    n_left = sum(map(len, todo.values()))
    with tqdm(total=n_left, desc="Evaluating", unit="task", disable=n_left == 0) as bar:
        for model, tasks in todo.items():
            lm = args.load(model) if tasks else None
            for task in tasks:
                bar.set_postfix_str(f"{Path(model).name} {task}")
                began = time.monotonic()
                found = measure(lm, loaded[task], args.settings)
                results[model].add(task, keys[model], found, time.monotonic() - began)
                bar.update()
            del lm
    show(_table(results, args.settings.tasks))
    for one in results.values():
        say(f"Written to {one.file}")
    return 0


def _table(results: dict[str, Results], tasks: Sequence[str]) -> Table:
    rows = [
        (Path(model).name, one.task, one.metric, one.value, one.stderr, "" if one.rows is None else str(one.rows))
        for model, found in results.items()
        for task in tasks
        for one in found.scores(task)
    ]
    kinds = {"model": "name", "task": "name", "metric": "name"} | dict.fromkeys(("value", "stderr", "rows"), "number")
    return table("Results", kinds, rows, longest=None)
