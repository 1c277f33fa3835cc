"""What all processes of a run must have alike: compared before they work, and refused by name where it differs."""

import dataclasses
import json
import logging
from datetime import timedelta
from typing import Any

import numpy as np

from ..disk.fingerprint import fingerprint
from ..disk.main_process import are_several, fail_together, gather_from_all, limit_waiting
from ..disk.stages import flatten
from ..options import shorten
from . import facts


logger = logging.getLogger(__name__)

# Arguments that may differ between processes: where a machine writes and what it shows, and how it reads
MAY_DIFFER = {"output_dir", "run_name", "project", "trackio_space_id", "report_to", "disable_tqdm"}
MAY_DIFFER |= {"log_level", "log_level_replica", "log_on_each_node", "local_rank", "use_cpu", "save_on_each_node"}
MAY_DIFFER |= {"resume_from_checkpoint", "ddp_backend", "ddp_timeout", "dataset_num_proc", "hub_model_id", "hub_token"}
MAY_DIFFER |= {"dataloader_num_workers", "dataloader_pin_memory", "dataloader_persistent_workers"}
MAY_DIFFER |= {"dataloader_prefetch_factor", "vllm_server_base_url", "vllm_server_host", "vllm_server_port"}
MAY_DIFFER |= {"vllm_gpu_memory_utilization", "vllm_group_port"}
# and of `model_init_kwargs`
MAY_DIFFER |= {f"model_init_kwargs.{name}" for name in ("device_map", "cache_dir", "token", "local_files_only")}
ROWS = "The fingerprint of the rows"
EVAL = "The number of rows of eval_dataset"


def check_arguments(args: Any, train_dataset: Any, eval_dataset: Any) -> None:
    """
    Refuses a trainer whose processes differ in their arguments, versions or numbers of rows, before it is made: they
    might wait for each other in different places. To be called and to raise as [`check_agreement`].
    """
    if args.world_size > 1 and are_several():
        limit_waiting(timedelta(seconds=args.ddp_timeout))
        sizes = {"The number of rows": _sizes(train_dataset), EVAL: _sizes(eval_dataset)}
        refuse_difference(versions() | sizes | arguments(args), timedelta(seconds=args.ddp_timeout))


def check_agreement(trainer: Any, resume: str | bool | None) -> None:
    """
    Refuses a run whose processes differ in their rows, arguments, options or versions, before its first step. Weights
    that differ are warned of, since DDP takes those of the first process.

    Must be called by all processes. They wait for `ddp_timeout` at the most.

    Args:
        trainer ([`CurriculumMixin`]):
            About to train.
        resume (`str` or `bool`, *optional*):
            What it is to resume from.

    Raises:
        `ValueError`: in the main process, naming what differs, in which process, and both values; the others end.
    """
    if not are_several():
        return
    longest = timedelta(seconds=trainer.args.ddp_timeout)
    refuse_difference(versions() | _facts(trainer, resume), longest, trainer)
    weights = gather_from_all(_weights(trainer), longest)
    other = next((rank for rank, one in enumerate(weights) if one != weights[0]), None)
    if other is not None and trainer.accelerator.is_main_process:
        logger.warning(
            "The model's weights in process %d are not those in process 0, which all processes will train: were they "
            "loaded from the same place, or drawn without a seed?",
            other,
        )


def refuse_difference(mine: dict[str, Any], longest: timedelta, trainer: Any = None) -> None:
    """
    Refuses facts that differ between processes.

    Args:
        mine (`dict`):
            Plain values by their names, the most telling first.
        longest (`timedelta`):
            How long processes wait for the last one.
        trainer (*optional*):
            Whose rows are looked through where they differ.
    """
    every = gather_from_all(json.dumps(mine), longest)
    first, *others = (json.loads(one) for one in every)
    for rank, other in enumerate(others, start=1):
        names = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if names and names[0] == ROWS:
            fail_together(_other_row(trainer, rank, longest), longest)
        if names:
            more = f" ({', '.join(names[1:4])}{' and more' if len(names) > 4 else ''} differ too)" if names[1:] else ""
            its, ours = shorten(other.get(names[0])), shorten(first.get(names[0]))
            fail_together(
                f"{names[0]} is {its} in process {rank} and {ours} in process 0{more}: all processes of a run must "
                "have the same.",
                longest,
            )


def versions() -> dict[str, str]:
    """Versions of the packages that draws and weights depend on."""
    return {f"The version of {name}": version for name, version in facts.versions().items()}


def _facts(trainer: Any, resume: Any) -> dict[str, Any]:
    pool = trainer.pool
    families = {
        "curriculum": [trainer.curriculum.method],
        "rollouts": trainer.refilling.methods,
        "shaping": trainer.shaping.shapers,
        "probe": [] if trainer.probe.spec is None else [trainer.probe.spec],
    }
    found = {
        "The number of rows": pool.size,
        ROWS: fingerprint([] if pool.row_hash is None else [pool.row_hash]),
        **{family: ", ".join(one.name for one in methods) for family, methods in families.items()},
        **flatten(
            {family: {one.name: facts.plain(one.options) for one in methods} for family, methods in families.items()}
        ),
        **arguments(trainer.args),
        "resume_from_checkpoint": resume if isinstance(resume, bool | None) else "a folder",
        "The fingerprint of arms and difficulties": pool.digest,
        EVAL: _sizes(trainer.eval_dataset),
        "The fingerprint of the tokenizer": fingerprint([facts.of_tokenizer(trainer.processing_class)]),
    }
    if hasattr(trainer, "rows"):
        found["The fingerprint of the rows' tokens"] = fingerprint([trainer.rows.length])
    if hasattr(trainer, "reward_func_names"):
        found["reward_funcs"] = trainer.reward_func_names
        found["reward_weights"] = trainer.reward_weights.tolist()
    return found | _of_model(trainer)


def arguments(args: Any) -> dict[str, Any]:
    """Arguments of training as plain values without secrets, but for those that may differ."""
    given = {field.name: facts.plain(getattr(args, field.name)) for field in dataclasses.fields(args) if field.init}
    given |= flatten({"model_init_kwargs": given.pop("model_init_kwargs", None) or {}})
    return {name: value for name, value in given.items() if name not in MAY_DIFFER}


def _sizes(data: Any) -> Any:
    if isinstance(data, dict):
        return {name: _sizes(one) for name, one in data.items()}
    return len(data) if hasattr(data, "__len__") else None


def _of_model(trainer: Any) -> dict[str, Any]:
    """Names and shapes of the parameters."""
    model, counted = trainer.model, []
    for name, p in model.named_parameters():
        counted.append((name, tuple(getattr(p, "ds_shape", p.shape)), str(p.dtype), p.requires_grad))
    sizes = [(int(np.prod(shape)), trained) for _, shape, _, trained in counted]
    return {
        "The number of trained parameters": sum(size for size, trained in sizes if trained),
        "The number of parameters": sum(size for size, _ in sizes),
        "The fingerprint of the parameters' names and shapes": fingerprint(counted),
    }


def _weights(trainer: Any) -> str:
    """A fingerprint of the values that each process has loaded; nothing where a process holds a part of them."""
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        return ""
    adapters = getattr(trainer.model, "prefix", None)  # of PEFT: a fresh adapter is drawn by each
    loaded = [p for name, p in trainer.model.named_parameters() if adapters is None or adapters not in name]
    return fingerprint((), _Parameters(loaded))


class _Parameters:
    def __init__(self, parameters: list[Any]) -> None:
        self._parameters = parameters

    def parameters(self) -> list[Any]:
        return self._parameters


def _other_row(trainer: Any, rank: int, longest: timedelta) -> str:
    """Which rows of a process are not those of the main process, and the first of them in both."""
    hashes = gather_from_all(trainer.pool.row_hash.tolist(), longest)
    differ = np.flatnonzero(np.asarray(hashes[0]) != np.asarray(hashes[rank]))
    k = int(differ[0])
    where = k if trainer.conductor.position is None else int(trainer.conductor.position[k])
    row = trainer.rows.as_given([k])[0] if hasattr(trainer, "rows") else trainer.train_dataset[k]
    texts = gather_from_all(shorten(row), longest)
    return (
        f"Row {where} is {texts[rank]} in process {rank} and {texts[0]} in process 0 ({len(differ)} of "
        f"{len(hashes[0])} rows differ): all processes must be given the same dataset, in the same order."
    )
