"""Stages as one of two processes; test_processes.py starts both and looks."""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from trl_curriculum.rounds.loop import run_stages
from trl_curriculum.rounds.stage import Stage


@dataclass(frozen=True)
class Alone(Stage):
    """The main process works alone and ends as it is told to."""

    main_process_only = True
    how: str

    def run(self, folder: Path) -> dict[str, Any]:
        time.sleep(1)
        if self.how == "raises":
            raise ValueError("Nothing can be made of this: give it something else.")
        if self.how == "raises what is its own":
            raise KeyError("missing")
        if self.how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        while self.how == "takes too long" and not (folder.parents[1] / "shown-1.json").exists():
            time.sleep(0.1)  # until the other has given up
        return {"made": 1}


@dataclass(frozen=True)
class Together(Stage):
    def run(self, folder: Path) -> dict[str, Any]:
        (folder / f"{Accelerator(cpu=True).process_index}").touch()
        return {}


def main() -> None:
    output_dir, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    rank = Accelerator(cpu=True).process_index
    run_dir = output_dir / (str(rank) if options.get("separate") else "run")
    stages = {"alone": Alone(options["how"]), "together": Together()}
    shown: dict[str, Any] = {}
    try:
        shown["reports"] = run_stages(stages, run_dir, timedelta(seconds=options.get("longest", 24 * 3600)))
    except Exception as error:
        shown["error"] = [type(error).__name__, str(error)]
        raise
    finally:
        (output_dir / f"shown-{rank}.json").write_text(json.dumps(shown))


if __name__ == "__main__":
    main()
