"""What curriculum trainers override of TRL's in the same way: logging, saving and resuming. No method lives here."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from accelerate.utils import broadcast_object_list

from ..curricula import CURRICULA, CurriculumMethod
from ..data.clusters import neighbours
from ..disk import checkpoint as checkpoints
from ..disk.atomic import name_full_disk
from ..disk.main_process import name_lost_process, on_main_process
from ..disk.state import read_state, write_state
from ..lm.weights import whole_when_saved
from ..pool import Pool
from ..report.history import History, print_summary, read_history
from ..report.kept import RowTexts, write_facts
from ..report.terminal import lines
from ..rollouts import ROLLOUTS
from ..shaping import SHAPING
from ..stdout import say
from . import facts
from .agreement import check_agreement
from .cards import CardMixin
from .checks import refuse_fresh_optimizer, refuse_unmeasured, refuse_unseen, warn_of_arms, warn_of_probe
from .clock import add_clocks
from .conductor import Conductor
from .content import golds_of
from .evaluation import EvaluationMixin
from .fit import refuse_unfit
from .given_model import GivenModel
from .host import TrainerHost
from .live import LiveEvaluation
from .outlook import block, refuse_powerless, warn_of_odd
from .probing import TrainerProbe
from .refilling import Refilling
from .resuming import begin_afresh, refuse_earlier_run, refuse_other_run, refuse_weights_only, resolve_checkpoint
from .run_settings import run_settings
from .shaping import Shaping
from .sizes import Run
from .trackers import report_to_trackers


logger = logging.getLogger(__name__)


class CurriculumMixin(LiveEvaluation, GivenModel, CardMixin, EvaluationMixin):
    """
    Ties a [`Conductor`] to a trainer: to be listed before the TRL trainer that it extends.

    Args of `_set_up`: the curriculum, methods of rollouts and shapers, the rows, their places in the user's dataset,
    that dataset, and the columns that training reads, by which a resume knows rows again (all, unless given).
    """

    # Of the Trainer that this class is mixed into.
    accelerator: Any
    args: Any
    control: Any
    eval_dataset: Any
    model: Any
    state: Any
    train_dataset: Any

    conductor: Conductor
    host: TrainerHost
    probe: TrainerProbe
    refilling: Refilling
    shaping: Shaping
    streams: Any = None  # what rows are read from in place of a dataset

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

    def _set_up(
        self,
        method: CurriculumMethod,
        made: Any,
        args: Any,
        rows: Any,
        position: Any,
        given: Any,
        content: Sequence[str] | None = None,
    ) -> None:
        if self.streams is None:
            pool = Pool.from_dataset(rows, args.arms, args.difficulty_column, content=content)
            pool.neighbours = neighbours(rows, method.neighbours)
            golds = golds_of(args, getattr(self, "_rewards_as_given", ()), given)
            texts = RowTexts(args.output_dir, given, golds, [getattr(args, "dataset_text_field", "text")])
        else:  # whose rows have numbers of their own, and are gone once they were read
            pool, texts, position = self.streams.pool, None, None
        seed = args.data_seed if args.data_seed is not None else args.seed
        history = History(args.output_dir, write=args.process_index == 0, texts=texts)
        self.conductor = Conductor(method, pool, seed, self.host, history, position)
        rollouts, shapers = made
        self.refilling, self.shaping = Refilling(rollouts, self), Shaping(shapers, self, seed)
        report_to_trackers(self)

    def _set_up_probe(self, batch: int | None) -> None:
        """To be called once the trainer is made; `batch` rows are drawn at once, where that is known."""
        refuse_fresh_optimizer(self.curriculum.method, self)
        warn_of_arms(self.curriculum, self.args, batch)
        warn_of_probe(self.curriculum.method, self.args)
        self.probe = TrainerProbe(self, self.host, self.args.probe_for(self.curriculum.method))
        self.conductor.measure = self.probe.measure
        add_clocks(self)
        self._set_up_evaluation()

    # Training

    def _has_ended(self) -> bool:
        return self.state.global_step >= self.state.max_steps

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        if self._has_ended():  # a resume of a run that was done; stock TRL would train one step more
            self.control.should_training_stop = True
            num_batches = 0
        return super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]

    def train(
        self, resume_from_checkpoint: str | bool | None = None, *args: Any, summary: bool = True, **kwargs: Any
    ) -> Any:
        """
        Trains.

        `resume_from_checkpoint=True` continues from the newest checkpoint that was saved completely, `"auto"` does so
        where there is one. The default is that of the arguments. What the curriculum can do in this run is printed
        before (once a trainer), and where the draws went afterwards, by [`print_summary`], unless `summary` is
        `False` (to save the model first) or `disable_tqdm` is set.
        """
        check_agreement(self, resume_from_checkpoint)
        checkpoint, first = self._find_start(resume_from_checkpoint), self.curriculum.drawn == 0
        if first:
            self._say_what_it_can_do(afresh=checkpoint is None)
        if checkpoint is None:
            if first and self.args.overwrite_output_dir:  # now that nothing is refused any more
                on_main_process(lambda: begin_afresh(self.args.output_dir))
            self.conductor.start()
            self._start_from(None, {})
        if self.accelerator.is_main_process:
            write_facts(self.args.output_dir, facts.for_report(self))
        with name_lost_process(timedelta(seconds=self.args.ddp_timeout)):
            output = super().train(checkpoint, *args, **kwargs)  # type: ignore[misc]
        self.conductor.finish()
        if summary:
            self.print_summary()
        return output

    def _find_start(self, asked: str | bool | None) -> str | None:
        """The checkpoint to go on from, or `None`; a run that nobody has decided about is refused."""
        args, first = self.args, self.curriculum.drawn == 0
        if first and asked is None:
            asked = args.resume_from_checkpoint
        if first:  # or else it is this trainer's own run that goes on in the folder
            on_main_process(lambda: refuse_earlier_run(args.output_dir, asked, args.overwrite_output_dir))
            refuse_weights_only(args, asked)
        self._settings = run_settings(self)
        checkpoint = resolve_checkpoint(self.accelerator, args.output_dir, asked)
        if checkpoint is not None:
            refuse_other_run(checkpoint, self._settings)
        return checkpoint

    def _run(self) -> Run:
        """The sizes of this run."""
        raise NotImplementedError

    def _say_what_it_can_do(self, afresh: bool) -> None:
        """Prints what the curriculum can do, on the main process; refuses one that, `afresh`, could do nothing."""
        run = self._run()
        outlook = self.curriculum.outlook(run.batches, run.rows)
        if afresh:
            refuse_powerless(self.curriculum, outlook, run)
        if self.accelerator.is_main_process:
            warn_of_odd(self.curriculum, outlook, run, self.args)
            given = (self.left_out, self.eval_dataset, self.found)
            say(lines(block(self.curriculum, outlook, run, self.args, *given)))

    @property
    def left_out(self) -> int | None:
        """Rows of the dataset that cannot be trained on."""
        return None

    @property
    def found(self) -> dict[str, str]:
        """Lines on what the trainer has found out about the rows, for what is printed before training."""
        return {}

    def print_summary(self) -> None:
        """Prints where the draws went, on the main process, unless `disable_tqdm` is set; a failure is a warning."""
        if not self.accelerator.is_main_process or self.args.disable_tqdm:
            return
        try:
            print_summary(read_history(self.args.output_dir), self.curriculum.name)
        except (OSError, ValueError, KeyError) as error:
            logger.warning("Where the draws went cannot be printed, because the history cannot be read: %s.", error)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Saves the whole model, also where FSDP writes its checkpoints in shards."""
        folder = Path(output_dir or self.args.output_dir)
        whole = nullcontext() if _internal_call else whole_when_saved(self.accelerator)
        with whole, name_full_disk(folder.parent, f"the model in {folder.name} was not written"):
            super().save_model(output_dir, _internal_call)  # type: ignore[misc]

    # Logging

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self.model.training and self.conductor.has_news:
            news = self.conductor.metrics() | self.probe.metrics()
            logs.update({f"curriculum/{key}": value for key, value in news.items()})
            logs.update(self.refilling.metrics() | self.shaping.metrics())
        super().log(logs, *args, **kwargs)

    def history(self) -> pd.DataFrame:
        """All draws of this run so far, one row each; see [`read_history`] for the columns."""
        self.conductor.history.flush()
        self.accelerator.wait_for_everyone()
        return read_history(self.args.output_dir)

    # State

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before super, which pushes and deletes older checkpoints; trainer_state.json, which super writes last, marks
        # the folder as whole, so one from an earlier save must go first.
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            checkpoints.forget_checksums(folder)
            state = {"world_size": self.args.world_size, "run": self._settings}
            write_state(folder / checkpoints.FOLDER, state | self.conductor.state_dict() | self._trainer_state())
        self._save_process_state(folder)
        self.refilling.save(folder)
        self.conductor.history.flush()
        self.accelerator.wait_for_everyone()
        with name_full_disk(folder.parent, f"{folder.name} was not written"):
            self._saving = True
            try:
                super()._save_checkpoint(model, trial)  # type: ignore[misc]
            finally:
                self._saving = False
            if self.args.should_save and folder.is_dir():
                checkpoints.write_checksums(folder)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is None:
            return
        answer: list[Any] = [None]
        if self.accelerator.is_main_process:  # one process reads: disks need not be shared
            answer = [read_state(Path(checkpoint) / checkpoints.FOLDER)]
        broadcast_object_list(answer)
        mapping = self.conductor.load_state_dict(answer[0], self.args.on_data_change == "carry_over")
        self.refilling.load_state_dict(answer[0]["rollouts"], mapping, Path(checkpoint))
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
