"""What curriculum trainers share: pool, binding, feedback, log keys, history and state. No method lives here."""

import logging
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from accelerate.utils import broadcast_object_list, gather, gather_object
from torch.utils.data import Dataset as TorchDataset

from ..curricula import Curriculum, Draw
from ..curricula.arms import MAX_LOGGED_ARMS, ArmCurriculum
from ..disk import checkpoint as checkpoints
from ..disk.state import StateError, read_state, write_state
from ..named import make_curriculum
from ..pool import Pool
from ..report.history import History, print_summary, read_history
from ..signals import Feedback, FloatArray, IntArray
from .checks import refuse_fresh_optimizer, refuse_unmeasured, refuse_unseen
from .probing import TrainerProbe


logger = logging.getLogger(__name__)


class Ticks(TorchDataset):
    """A dataset that only keeps time: as long as the real one, and empty. The curriculum picks the rows."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {}


class CurriculumMixin:
    """
    Binds a curriculum to a trainer: to be listed before the TRL trainer that it extends.

    The trainer calls `_draw` at the moment it needs rows, trains on them, and calls `_observe`. Every process runs the
    same curriculum with the same seed on the same gathered feedback, so draws agree without communication; that they
    do is checked with each feedback.
    """

    # Of the Trainer that this class is mixed into.
    _metrics: Any
    accelerator: Any
    args: Any
    control: Any
    model: Any
    optimizer: Any
    state: Any
    train_dataset: Any

    # What a batch of this trainer shows: names of Feedback fields.
    shows: ClassVar[tuple[str, ...]]
    _positions: IntArray | None = None  # of the pool's rows in the user's dataset, where some were left out

    def _make_curriculum(self, curriculum: Any, args: Any, pool: Pool) -> Curriculum:
        seed = args.data_seed if args.data_seed is not None else args.seed
        made = make_curriculum(curriculum or args.curriculum, pool, seed, **(args.curriculum_kwargs or {}))
        refuse_unseen(made, self.shows, type(self).__name__)
        refuse_unmeasured(made, args)
        return made

    def _try_curriculum(self, curriculum: Any, args: Any, rows: Any) -> None:
        """Finds mistakes in the columns and options of a curriculum, before rows are prepared."""
        pool = Pool.from_dataset(rows, args.arm_column, args.difficulty_column, hash_rows=False)
        if not isinstance(curriculum, Curriculum):
            self._make_curriculum(curriculum, args, pool)

    def _set_up_curriculum(self, curriculum: Any, args: Any, rows: Any) -> None:
        self.pool = Pool.from_dataset(rows, args.arm_column, args.difficulty_column)
        self.curriculum = self._make_curriculum(curriculum, args, self.pool)
        self._eval_set = ""
        self._history = History(args.output_dir, write=args.process_index == 0)
        self._since_log: dict[str, list[float]] = defaultdict(list)
        self._pulls: Counter[str] = Counter()
        self._unanswered = 0
        if args.arm_column is not None and self.pool.n_arms == 1:
            logger.warning("arm_column %s has one value: a single arm leaves nothing to choose.", args.arm_column)

    def _set_up_probe(self) -> None:
        """To be called once the trainer is made."""
        refuse_fresh_optimizer(self)
        self._probe = TrainerProbe(self)

    def _warn_of_small_arms(self, batch: int) -> None:
        small = [name for name, size in zip(self.pool.arm_names, self.pool.arm_size, strict=True) if size < batch]
        if small and self.pool.n_arms > 1 and isinstance(self.curriculum, ArmCurriculum):
            logger.warning(
                "%d arms have fewer rows than a batch has (%d), for example %r: when such an arm is favoured "
                "a row can come twice in a batch; curriculum/repeated_rows counts it.",
                len(small),
                batch,
                small[0],
            )

    # Binding

    def _progress(self) -> float:
        """Share of the training that is done."""
        return min(self.state.global_step / self.state.max_steps, 1.0)

    def _has_ended(self) -> bool:
        return self.state.global_step >= self.state.max_steps

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        if self._has_ended():  # a resume of a run that was done; stock TRL would train one step more
            self.control.should_training_stop = True
            num_batches = 0
        return super().get_batch_samples(epoch_iterator, num_batches, device)  # type: ignore[misc]

    def _draw(self, n: int) -> Draw:
        """Rows for the batch that is about to be trained on; the same on every process."""
        progress, rounds = self._progress(), self.curriculum.round
        while (asked := self.curriculum.rows_to_probe(progress)) is not None:
            self.curriculum.observe_probe(asked, *self._probe.measure(self.curriculum.asks_for, asked))
        draw = self.curriculum.select(n, progress)
        if self.curriculum.fresh_optimizer and self.curriculum.round > rounds > 0:
            self.optimizer.state.clear()
        return draw

    def _loss_of(self, rows: IntArray) -> tuple[FloatArray, int]:
        """Losses of rows with the current weights, and how many tokens were read for them."""
        raise NotImplementedError

    def _prompts(self, rows: Any) -> list[Any]:
        """Prompts of rows: texts, messages, or token ids."""
        raise NotImplementedError

    def _will_train_on(self, draw: Draw) -> None:
        self._since_log["staleness"].append(self._unanswered)
        self._since_log["repeated_rows"].append(len(draw) - len(np.unique(draw.row)))
        self._unanswered += 1

    def _gather_checked(self, parts: list[IntArray], *values: torch.Tensor) -> tuple[FloatArray, ...]:
        """
        Gathers values per rollout or sequence from all processes, in one collective, and checks that all drew alike.

        `parts` are the rows of each process; each of `values` has the length of this process's part.
        """
        # Positions are compared modulo 2^24, which a float32 still holds exactly.
        longest = max(map(len, parts))
        mine = parts[self.accelerator.process_index] % 2**24
        local = torch.zeros(longest, 1 + len(values), device=self.accelerator.device)
        local[: len(mine)] = torch.stack([torch.as_tensor(mine, device=local.device), *values], dim=1).to(local)
        everyone = gather(local).cpu().numpy().astype(np.float64)
        kept = np.concatenate([k * longest + np.arange(len(part)) for k, part in enumerate(parts)])
        everyone = everyone[kept]
        if not np.array_equal(everyone[:, 0], np.concatenate(parts) % 2**24):
            raise RuntimeError(
                "The processes drew different rows: their curricula have diverged. Check that all processes see the "
                "same dataset and run the same versions of numpy."
            )
        return tuple(everyone[:, 1 + k] for k in range(len(values)))

    def _observe(self, draw: Draw, feedback: Feedback) -> None:
        """Hands what a batch showed to the curriculum, the history and the log."""
        self.curriculum.observe(feedback)
        self._unanswered -= 1
        shown = self._history.add(draw, self.curriculum.arm_names, feedback, self._positions)
        signal = "advantage" if "advantage" in shown else "loss"
        if "scored" in shown:
            scored = shown["scored"] > 0
            self._since_log["unobserved_rollouts"].append(len(feedback) - shown["scored"].sum())
            if scored.any():
                self._since_log["frac_zero_variance"].append(shown["zero_variance"][scored].mean())
        else:
            self._since_log["unobserved_rows"].append(np.isnan(shown["loss"]).sum())
        if len(self.curriculum.arm_names) <= MAX_LOGGED_ARMS:
            self._pulls.update(shown["arm"])
            for arm, value in zip(shown["arm"], shown[signal], strict=True):
                self._since_log[f"{signal}/{arm}"].append(value)

    # Logging

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self.model.training and self._since_log:
            logs.update({f"curriculum/{key}": value for key, value in self._metrics_since_last_log().items()})
        if not self.model.training and self._eval_set:  # TRL drops the name of the set where there are several
            metrics = self._metrics["eval"]
            for key in list(metrics):
                metrics[f"{self._eval_set}_{key}"] = metrics.pop(key)
        super().log(logs, *args, **kwargs)  # type: ignore[misc]

    def evaluate(self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval") -> Any:
        self._eval_set = metric_key_prefix.removeprefix("eval").removeprefix("_")
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)  # type: ignore[misc]

    def _metrics_since_last_log(self) -> dict[str, float]:
        values = {}
        for key, collected in self._since_log.items():
            seen = [value for value in collected if np.isfinite(value)]
            if seen:
                values[key] = float(np.mean(seen))
        values.update({f"pulls/{arm}": float(count) for arm, count in self._pulls.items()})
        values.update({key: value for key, value in self.curriculum.metrics().items() if np.isfinite(value)})
        values.update(self._probe.metrics())
        self._since_log.clear()
        self._pulls.clear()
        return values

    def history(self) -> pd.DataFrame:
        """All draws of this run so far, one row each; see [`read_history`] for the columns."""
        self._history.flush()
        self.accelerator.wait_for_everyone()
        return read_history(self.args.output_dir)

    # State

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Trains; `resume_from_checkpoint=True` continues from the newest checkpoint that was saved completely."""
        checkpoint = self._resolve_checkpoint(resume_from_checkpoint)
        if checkpoint is None:
            if self.curriculum.drawn == 0:
                self._history.start_over()
                if checkpoints.newest_first(self.args.output_dir):
                    logger.warning(
                        "%s holds checkpoints of an earlier run, which resume_from_checkpoint=True would take for "
                        "this one's; use another output_dir or remove them.",
                        self.args.output_dir,
                    )
            self._start_from(None, {})
        output = super().train(checkpoint, *args, **kwargs)  # type: ignore[misc]
        self._history.flush()
        if getattr(self.curriculum, "refreshes", 1) == 0:
            logger.warning(
                "%s drew all rows alike: training ended before its first refresh; set refresh_steps in "
                "curriculum_kwargs to fewer steps than training has.",
                self.curriculum.name,
            )
        if self.accelerator.is_main_process and not self.args.disable_tqdm:
            print_summary(read_history(self.args.output_dir), self.curriculum.name)
        return output

    def _resolve_checkpoint(self, asked: str | bool | None) -> str | None:
        if isinstance(asked, str) and asked.lower() in ("true", "false"):  # as a command line or YAML gives it
            asked = asked.lower() == "true"
        if not asked:
            return None
        candidates: list[Any] = [checkpoints.newest_first(self.args.output_dir) if asked is True else [Path(asked)]]
        broadcast_object_list(candidates)
        for path in candidates[0]:
            reason = self._what_is_missing(path)
            if reason is None:
                return str(path)
            if asked is not True:
                raise StateError(f"{path} cannot be resumed from: {reason}.")
            if self.accelerator.is_main_process:
                logger.warning("Skipping %s, it was not saved completely: %s.", path, reason)
        raise StateError(f"No complete checkpoint to resume from in {self.args.output_dir}.")

    def _what_is_missing(self, path: Path) -> str | None:
        """What the main process lacks of a checkpoint, or else any process; the same answer on all."""
        answer: list[Any] = [None]
        if self.accelerator.is_main_process:
            try:
                answer = [checkpoints.saved_by(path)]
            except StateError as error:
                answer = [str(error)]
        broadcast_object_list(answer)
        if isinstance(answer[0], str):
            return answer[0]
        mine = checkpoints.missing_random_state(path, self.accelerator.process_index, answer[0])
        return next((reason for reason in gather_object([mine]) if reason is not None), None)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        # Before super, which pushes and deletes older checkpoints; trainer_state.json, which super writes last, marks
        # the folder as whole, so one from an earlier save must go first.
        folder = Path(self._get_output_dir(trial=trial)) / f"checkpoint-{self.state.global_step}"  # type: ignore[attr-defined]
        folder.mkdir(parents=True, exist_ok=True)
        if self.args.should_save:
            (folder / "trainer_state.json").unlink(missing_ok=True)
            state = {"world_size": self.args.world_size, "curriculum": self.curriculum.state_dict()}
            write_state(folder / checkpoints.FOLDER, state | self._trainer_state())
        self._save_process_state(folder)
        self._history.flush()
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
        state = answer[0]
        carried = self.curriculum.load_state_dict(
            state["curriculum"], carry_over=self.args.on_data_change == "carry_over"
        )
        if carried is not None:
            logger.warning("Resuming on changed data: %s.", carried.summary())
        kept = self._history.rewind(self.curriculum.drawn, self.curriculum.waiting)
        trained = self.curriculum.drawn - len(self.curriculum.waiting)
        if self.accelerator.is_main_process and kept != trained:
            logger.warning(
                "The history in %s holds %d of the %d draws before the checkpoint, which is another folder's.",
                self.args.output_dir,
                kept,
                trained,
            )
        self._start_from(Path(checkpoint), state)

    def _trainer_state(self) -> dict[str, Any]:
        """What a trainer must add to the saved state, the same on every process."""
        return self._probe.state_dict()

    def _save_process_state(self, folder: Path) -> None:
        """Saves what differs between processes."""

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        """Prepares for the first step of a `train()`, from a checkpoint or afresh."""
        self._probe.load_state_dict(state)
        self._last_loaded_step = -1  # a second train() counts steps from 0 again: vLLM loads its weights all the same
