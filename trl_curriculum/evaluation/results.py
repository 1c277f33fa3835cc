"""What evaluations of a model came to, as a JSON file: a task that is done is not evaluated again."""

import json
from pathlib import Path
from typing import Any

from ..disk.fingerprint import fingerprint, redact
from ..disk.stages import MARK
from ..disk.state import write_json
from .measure import Score, read_scores


FOLDER = "lm_eval"


def results_file(name: str, folder: str | None = None) -> Path:
    """
    Where the results of a model are kept, by default in a folder `lm_eval`: beside a checkpoint, inside of another
    folder with a model, and in the working directory for a model of the Hub.
    """
    path = Path(name)
    if folder is None:
        inside = path.parent if path.name.startswith("checkpoint-") else path
        folder = str(inside / FOLDER if path.is_dir() else FOLDER)
    called = path.resolve().name if path.is_dir() else name.replace("/", "__")
    return Path(folder) / f"{called}.json"


class Results:
    """
    Results of one model, each with all that it depends on.

    Args:
        file (`Path`):
            Is not there, or was written here.

    Raises:
        `ValueError`: where it is somebody else's, or damaged.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.tasks = file, {}
        if not file.exists():
            return
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            if {name: found[name] for name in MARK} != MARK:
                raise ValueError("it says so nowhere")
            self.tasks = {name: dict(task) for name, task in found["tasks"].items()}
            for name in self.tasks:
                self.scores(name)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{file} holds no results that this package has written ({error}): move it elsewhere, or give another "
                "folder as `out`."
            ) from error

    def has(self, task: str, made_with: dict[str, Any]) -> bool:
        """Whether a task was evaluated with the same weights, settings and versions."""
        return task in self.tasks and self.tasks[task]["key"] == _key(made_with)

    def add(self, task: str, made_with: dict[str, Any], found: dict[str, Any], seconds: float) -> None:
        """Writes down what a task came to, as [`~trl_curriculum.evaluation.measure.measure`] returns it."""
        self.tasks[task] = {
            "key": _key(made_with),
            "made_with": redact(made_with),
            "seconds": round(seconds, 3),
            FOLDER: found,
        }
        write_json(self.file, {**MARK, "tasks": self.tasks})

    def scores(self, task: str) -> list[Score]:
        """What a task came to."""
        return read_scores(self.tasks[task][FOLDER])


def _key(made_with: dict[str, Any]) -> str:
    return fingerprint([json.dumps(redact(made_with), sort_keys=True)])
