"""What curriculum trainers override of TRL's in the same way: logging, saving and resuming. No method lives here."""

import logging
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils import broadcast_object_list
from torch.utils.data import Dataset as TorchDataset

from ..curricula import CURRICULA, CurriculumMethod
from ..disk import checkpoint as checkpoints
from ..disk.state import read_state, write_state
from ..pool import Pool
from ..report.card import PATH, complete, public_name, without_local_paths
from ..report.history import History, print_summary, read_history
from ..rollouts import ROLLOUTS
from ..shaping import SHAPING
from .checks import refuse_fresh_optimizer, refuse_unfit, refuse_unmeasured, refuse_unseen, warn_of_arms, warn_of_probe
from .conductor import Conductor
from .host import TrainerHost
from .probing import TrainerProbe
from .refilling import Refilling
from .resuming import resolve_checkpoint
from .shaping import Shaping


logger = logging.getLogger(__name__)


class ClockDataset(TorchDataset):
    """A dataset that only keeps time: as long as the real one, and empty. The curriculum picks the rows."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {}


class CurriculumMixin:
    """
    Ties a [`Conductor`] to a trainer: to be listed before the TRL trainer that it extends.

    Args of `_set_up`: the curriculum, methods of rollouts and shapers, the rows, and their places in the user's
    dataset.
    """

    # Of the Trainer that this class is mixed into.
    _metrics: Any
    accelerator: Any
    args: Any
    control: Any
    model: Any
    state: Any
    train_dataset: Any

    conductor: Conductor
    host: TrainerHost
    probe: TrainerProbe
    refilling: Refilling
    shaping: Shaping
    _eval_set = ""

    @property
    def pool(self) -> Pool:
        """Rows as the curriculum sees them."""
        return self.conductor.pool

    @property
    def curriculum(self) -> Any:
        """The curriculum over its pool."""
        return self.conductor.curriculum

    def _method(self, curriculum: Any, args: Any) -> CurriculumMethod:
        """The curriculum with its options, which must follow what this trainer shows."""
        method = args.curriculum_method if curriculum is None else CURRICULA.make(curriculum)
        refuse_unseen(method, self.host.shows, type(self).__name__)
        refuse_unmeasured(method, args)
        return method

    def _rollouts_and_shapers(self, rollouts: Any, shaping: Any, args: Any) -> tuple[Any, Any]:
        """Methods of both families with their options, which must be able to work with the arguments."""
        methods = args.rollout_methods if rollouts is None else ROLLOUTS.make_all(rollouts)
        shapers = args.shapers if shaping is None else SHAPING.make_all(shaping)
        refuse_unfit(methods, shapers, args)
        return methods, shapers

    def _set_up(self, method: CurriculumMethod, made: Any, args: Any, rows: Any, position: Any = None) -> None:
        pool = Pool.from_dataset(rows, args.arms, args.difficulty_column)
        seed = args.data_seed if args.data_seed is not None else args.seed
        history = History(args.output_dir, write=args.process_index == 0)
        self.conductor = Conductor(method, pool, seed, self.host, history, position)
        rollouts, shapers = made
        self.refilling, self.shaping = Refilling(rollouts, self), Shaping(shapers, self, seed)

    def _set_up_probe(self, batch: int | None) -> None:
        """To be called once the trainer is made; `batch` rows are drawn at once, where that is known."""
        refuse_fresh_optimizer(self.curriculum.method, self)
        warn_of_arms(self.conductor, self.args, batch)
        warn_of_probe(self.curriculum.method, self.args)
        self.probe = TrainerProbe(self, self.host, self.args.probe_for(self.curriculum.method))
        self.conductor.measure = self.probe.measure

    # Training

    def _has_ended(self) -> bool:
        return self.state.global_step >= self.state.max_steps

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        if self._has_ended():  # a resume of a run that was done; stock TRL would train one step more
            self.control.should_training_stop = True
            num_batches = 0
        return super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; `resume_from_checkpoint=True` continues from the newest checkpoint that was saved completely."""
        checkpoint = resolve_checkpoint(self.accelerator, self.args.output_dir, resume_from_checkpoint)
        if checkpoint is None:
            if self.curriculum.drawn == 0 and checkpoints.newest_first(self.args.output_dir):
                logger.warning(
                    "%s holds checkpoints of an earlier run, which resume_from_checkpoint=True would take for this "
                    "one's; use another output_dir or remove them.",
                    self.args.output_dir,
                )
            self.conductor.start()
            self._start_from(None, {})
        output = super().train(checkpoint, *args, **kwargs)  # type: ignore[misc]
        self.conductor.finish()
        if self.accelerator.is_main_process and not self.args.disable_tqdm:
            print_summary(read_history(self.args.output_dir), self.curriculum.name)
        return output

    # Logging

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self.model.training and self.conductor.has_news:
            news = self.conductor.metrics() | self.probe.metrics()
            logs.update({f"curriculum/{key}": value for key, value in news.items()})
            logs.update(self.refilling.metrics() | self.shaping.metrics())
        if not self.model.training and self._eval_set:  # TRL drops the name of the set where there are several
            metrics = self._metrics["eval"]
            for key in list(metrics):
                metrics[f"{self._eval_set}_{key}"] = metrics.pop(key)
        super().log(logs, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        self._eval_set = metric_key_prefix.removeprefix("eval").removeprefix("_")
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)  # type: ignore[misc]

    def history(self) -> pd.DataFrame:
        """All draws of this run so far, one row each; see [`read_history`] for the columns."""
        self.conductor.history.flush()
        self.accelerator.wait_for_everyone()
        return read_history(self.args.output_dir)

    # The model card

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
            card.write_text(complete(card.read_text(encoding="utf-8"), self), encoding="utf-8")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        card = Path(output_dir or self.args.output_dir) / "README.md"  # PEFT's, which names the path of the base model
        if card.exists() and self.args.should_save:
            card.write_text(without_local_paths(card.read_text(encoding="utf-8")), encoding="utf-8")

    # State

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before super, which pushes and deletes older checkpoints; trainer_state.json, which super writes last, marks
        # the folder as whole, so one from an earlier save must go first.
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            (folder / "trainer_state.json").unlink(missing_ok=True)
            state = {"world_size": self.args.world_size} | self.conductor.state_dict() | self._trainer_state()
            write_state(folder / checkpoints.FOLDER, state)
        self._save_process_state(folder)
        self.conductor.history.flush()
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)  # type: ignore[misc]

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is None:
            return
        answer: list[Any] = [None]
        if self.accelerator.is_main_process:  # one process reads: disks need not be shared
            answer = [read_state(Path(checkpoint) / checkpoints.FOLDER)]
        broadcast_object_list(answer)
        mapping = self.conductor.load_state_dict(answer[0], self.args.on_data_change == "carry_over")
        self.refilling.load_state_dict(answer[0]["rollouts"])
        self.shaping.load_state_dict(answer[0]["shaping"], mapping)
        self._start_from(Path(checkpoint), answer[0])

    def _trainer_state(self) -> dict[str, Any]:
        """What a trainer must add to the saved state, the same on every process."""
        made = {"rollouts": self.refilling.state_dict(), "shaping": self.shaping.state_dict()}
        return self.probe.state_dict() | made

    def _save_process_state(self, folder: Path) -> None:
        """Saves what differs between processes."""

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        """Prepares for the first step of a `train()`, from a checkpoint or afresh."""
        self.probe.load_state_dict(state)
        self._last_loaded_step = -1  # a second train() counts steps from 0 again: vLLM loads its weights all the same
