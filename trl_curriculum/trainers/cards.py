"""The model card of a curriculum trainer: TRL's, with the curriculum, and without paths of this machine."""

import dataclasses
import logging
import platform
from pathlib import Path
from typing import Any

import torch

from ..report.card import complete, without_local_paths
from ..report.card_run import RunFacts
from ..report.public import PATH, public_name
from . import facts
from .clock import TrainingClock
from .pushing import PushMixin
from .run_settings import is_ignored


logger = logging.getLogger(__name__)

CURRICULUM = ("method", "curriculum", "arms", "difficulty_column", "probe", "rollouts", "shaping")
LISTED = ("trl", "torch", "transformers", "datasets", "trl_curriculum")  # in the list of TRL's card


class CardMixin(PushMixin):
    """What curriculum trainers override to write their model card, and to send it with the model."""

    conductor: Any
    _saving = False  # a checkpoint, of which TRL makes a card each time

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL's model card (`model_name`, `dataset_name`, `tags`) with the curriculum, and without local paths."""
        given = dict(zip(("model_name", "dataset_name", "tags"), args, strict=False)) | kwargs
        folder, name, data = Path(self.args.output_dir), given.get("model_name"), given.get("dataset_name")
        public = [one for one in (data if isinstance(data, list) else [data]) if public_name(one)]
        given["model_name"] = folder.resolve().name if name is None or PATH.search(name) else name
        given["dataset_name"] = public if len(public) > 1 else next(iter(public), None)
        super().create_model_card(**given)  # type: ignore[misc]
        if self.is_world_process_zero():  # type: ignore[attr-defined]
            self.conductor.history.flush()
            card = folder / "README.md"
            with_figure = not self._saving or self.args.push_to_hub  # drawing takes a second, which nobody would see
            try:
                text = complete(card.read_text(encoding="utf-8"), self, run_facts(self), with_figure)
            except (OSError, ValueError) as error:  # of the history, say; a checkpoint must not be lost by it
                logger.warning("The model card tells nothing of the curriculum: %s", error)
                text = without_local_paths(card.read_text(encoding="utf-8"))
            card.write_text(text, encoding="utf-8")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        card = Path(output_dir or self.args.output_dir) / "README.md"  # PEFT's, which names the path of the base model
        if card.exists() and self.args.should_save:
            card.write_text(without_local_paths(card.read_text(encoding="utf-8")), encoding="utf-8")


def run_facts(trainer: Any) -> RunFacts:
    """What the card tells of a trainer's run."""
    args, changed = trainer.args, changed_arguments(trainer.args)
    counted = {name: value for name, value in changed.items() if not is_ignored(name)}
    spelled = {name: value for name, value in changed.items() if name in counted or name in CURRICULUM}
    method = trainer.curriculum.method
    if method.name and "method" not in spelled:
        spelled["curriculum"] = method.spec  # also where it was given to the trainer
    clocks = [one for one in trainer.callback_handler.callbacks if isinstance(one, TrainingClock)]
    found = {name: version for name, version in facts.versions().items() if name not in LISTED}
    device = trainer.accelerator.device
    return RunFacts(
        trainer=type(trainer).__name__,
        hyperparameters=counted,
        arguments=spelled,
        versions={"Python": platform.python_version()} | found,
        processes=args.world_size,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper(),
        steps=trainer.state.global_step,
        seconds=clocks[0].seconds if clocks else None,
        log=trainer.state.log_history,
        eval_sets=tuple(map(str, trainer.eval_dataset)) if isinstance(trainer.eval_dataset, dict) else (),
        rollouts=getattr(trainer, "num_generations", None),
    )


def changed_arguments(args: Any) -> dict[str, Any]:
    """Arguments, as plain values without secrets, that are not the defaults which TRL and transformers declare."""
    upstream = next(cls for cls in type(args).__mro__ if cls.__module__.split(".")[0] in ("trl", "transformers"))
    declared = {one.name: one for cls in (type(args), upstream) for one in dataclasses.fields(cls) if one.init}
    changed = {}
    for name, one in declared.items():
        made = one.default_factory
        default = one.default if made is dataclasses.MISSING else made()
        if default is dataclasses.MISSING:
            continue
        value = facts.plain(getattr(args, name))
        if value != facts.plain(default):
            changed[name] = value
    return changed
