"""Stages one after the other, and the same stages round after round: what is finished is never done again."""

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from transformers.integrations import is_deepspeed_zero3_enabled

from ..disk.atomic import name_full_disk
from ..disk.main_process import LONGEST, check_shared, fail_together, name_lost_process, on_main_process
from ..disk.stages import StageFolder, flatten
from ..trainers.agreement import refuse_difference, versions
from .stage import Report, Stage


def run_stages(stages: Mapping[str, Stage], output_dir: Path, longest: timedelta = LONGEST) -> dict[str, Report]:
    """
    Runs stages in their order, each in a folder of its own; one that was stopped goes on where it was.

    Args:
        stages (`dict[str, Stage]`):
            By the name of the folder.
        output_dir (`Path`):
            Where the folders are, on a disk that all processes share.
        longest (`timedelta`, *optional*, defaults to one day):
            How long the others wait for what the main process does alone (ours).

    Returns:
        What each reports, with the `seconds` of the run that finished it.

    Raises:
        `ValueError`: before any stage is run, where one was finished with other settings, a folder is not ours, the
            processes differ in versions or settings, or weights are sharded.
    """
    state = PartialState()
    check_shared(output_dir, longest)
    refuse_sharded_weights()
    places = {name: StageFolder(output_dir / name, stage.settings(output_dir)) for name, stage in stages.items()}
    refuse_difference(versions() | flatten({name: place.settings for name, place in places.items()}), longest)
    found = on_main_process(lambda: {name: place.report() for name, place in places.items()}, longest)
    reports: dict[str, Report] = {name: report for name, report in found.items() if report is not None}
    for name in [name for name in stages if name not in reports]:
        stage, place, start = stages[name], places[name], time.monotonic()
        on_main_process(place.begin, longest)
        with name_full_disk(place.folder, f"the stage {name} was not finished"):
            if stage.main_process_only:
                report = on_main_process(partial(stage.run, place.folder), longest)
            else:
                with name_lost_process():
                    report = stage.run(place.folder)
                    state.wait_for_everyone()
        if state.distributed_type == DistributedType.DEEPSPEED:
            AcceleratorState._reset_state()  # or accelerate takes no plugin of the next stage's trainer
        gc.collect()  # models that trainers hold in cycles go before those of the next stage come
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        report = {**report, "seconds": time.monotonic() - start}
        reports[name] = on_main_process(partial(place.finish, report), longest)
    return {name: reports[name] for name in stages}


def refuse_sharded_weights() -> None:
    """Refuses ZeRO-3, under which no process holds whole weights to generate, to score and to take gradients with."""
    if is_deepspeed_zero3_enabled():
        fail_together(
            "Rounds and selections work with whole weights, which ZeRO-3 shards among the processes: launch them with "
            "DDP, FSDP2 or ZeRO-2 (accelerate_config: multi_gpu, fsdp2 or zero2)."
        )


@dataclass(frozen=True)
class Round:
    """A round of a loop: its number, from 0 on, and where its stages and those before them write."""

    number: int
    output_dir: Path

    def folder(self, stage: str) -> Path:
        """Folder of a stage of this round."""
        return self.output_dir / f"round-{self.number}" / stage

    @property
    def earlier(self) -> list["Round"]:
        """The rounds before this one."""
        return [Round(number, self.output_dir) for number in range(self.number)]


class Loop:
    """
    The same stages round after round, each from what the rounds before have made.

    Args:
        stages (`Callable`):
            Takes a [`Round`], returns its stages by name, in their order.
        rounds (`int`):
            How many.
        output_dir (`str` or `Path`):
            Gets `round-0/<stage>`, `round-1/<stage>` and so on.
        before (`dict[str, Stage]`, *optional*):
            Stages before the first round, in the folder `before`.
        longest (`timedelta`, *optional*, defaults to one day):
            As in [`run_stages`].
    """

    def __init__(
        self,
        stages: Callable[[Round], Mapping[str, Stage]],
        rounds: int,
        output_dir: str | Path,
        before: Mapping[str, Stage] | None = None,
        longest: timedelta = LONGEST,
    ) -> None:
        self.stages, self.before, self.longest = stages, before or {}, longest
        self.output_dir = Path(output_dir)
        self.rounds = [Round(number, self.output_dir) for number in range(rounds)]

    def run(self) -> tuple[dict[str, Report], list[dict[str, Report]]]:
        """Runs what is left; returns the reports of the stages before the first round, and those of each round."""
        names = [f"round-{each.number}" for each in self.rounds]
        groups = {"before": self.before} | dict(zip(names, map(self.stages, self.rounds), strict=True))
        every = {f"{group}/{name}": stage for group, stages in groups.items() for name, stage in stages.items()}
        reports = run_stages(every, self.output_dir, self.longest)
        before, *rounds = ({name: reports[f"{group}/{name}"] for name in stages} for group, stages in groups.items())
        return before, rounds
