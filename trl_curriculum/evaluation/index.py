"""Tasks by name: ours, the user's own, and those that come with lm-eval."""

import importlib.metadata
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..disk.fingerprint import fingerprint
from ..registry import nearest


# Inside the package where that is installed, in evals beside it in a checkout
HERE = Path(__file__).resolve()
OWN = HERE.parent / "tasks" if (HERE.parent / "tasks").is_dir() else HERE.parents[2] / "evals" / "tasks"
PACKAGES: tuple[str, ...] = ("lm-eval", "trl_curriculum", "transformers", "torch", "datasets", "peft", "vllm")
PACKAGES += ("reasoning-gym", "math-verify")


def check_lm_eval() -> None:
    """Refuses an environment without lm-eval."""
    if importlib.util.find_spec("lm_eval") is None:
        raise ImportError("Evaluating needs the package lm-eval: run `pip install 'trl_curriculum[eval]'`.")


def find_tasks(names: Sequence[str], include_path: str | None = None) -> Any:
    """
    lm-eval's index of tasks.

    Args:
        names (`Sequence[str]`):
            Tasks, groups or tags, all of which must be there. lm-eval's own 14,000 tasks, which take a while to read,
            are left out where these do not need them.
        include_path (`str`, *optional*):
            Folder with the user's tasks, which come first where names are the same.

    Returns:
        `lm_eval.tasks.TaskManager`.

    Raises:
        `ValueError`: naming the task that is nowhere, and the nearest one.
    """
    check_lm_eval()
    from lm_eval.tasks import TaskManager

    if include_path is not None and not Path(include_path).is_dir():
        raise FileNotFoundError(f"include_path={include_path!r} is no folder: give one with YAML files of tasks.")
    folders = [str(OWN)] + ([] if include_path is None else [include_path])
    manager = TaskManager(include_path=folders, include_defaults=False)
    if all(name in manager.task_index for name in names):
        return manager
    manager = TaskManager(include_path=folders)
    for name in names:
        if name not in manager.task_index:
            raise ValueError(
                f"There is no task {name!r}{nearest(name, manager.all_tasks)}: `lm-eval ls tasks` lists those of "
                "lm-eval, docs/evaluation.md those of trl_curriculum."
            )
    return manager


def tasks_key(include_path: str | None = None) -> str:
    """Tells tasks from others: by the versions of what they are made with, and the files of ours and of the user."""
    folders = [OWN] + ([] if include_path is None else [Path(include_path)])
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in (".yaml", ".py")]
    return fingerprint([part for path in files for part in (path.name, path.read_bytes())])


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
