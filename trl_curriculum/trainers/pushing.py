"""What a trainer sends to the Hub: of its output folder what may be published, and nothing else that lies there."""

import functools
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, HfApi
from transformers.trainer_utils import HubStrategy
from transformers.utils import PushInProgress

from ..publish.files import CONFIGS, TOKENIZER, WEIGHTS, PublicFile, checkpoint_files, is_listed, public_files
from ..publish.send import PushError, again, commit, hub, named_failure


logger = logging.getLogger(__name__)

SAFE = "the model is safe in {folder}"


class PushMixin:
    """
    What curriculum trainers override to send their runs.

    Those of transformers send all of the output folder but `_*` and checkpoints: texts of completions and logs as
    well, and `training_args.bin`, in which `hub_token` stands.
    """

    args: Any
    callback_handler: Any
    control: Any
    hub_model_id: Any
    model: Any
    push_in_progress: Any
    state: Any

    @functools.cached_property
    def _api(self) -> HfApi:
        """The Hub, which does what it is asked to do later in turn."""
        return hub()

    def init_hf_repo(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, before anything is trained; what is wrong is one sentence."""
        todo = "log in, or leave push_to_hub out."
        with named_failure(self.args.hub_model_id, "nothing was trained or lost", todo):
            super().init_hf_repo(*args, **kwargs)  # type: ignore[misc]

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """
        Sends model, tokenizer, card, figure, draws and scores in one commit, with transformers' arguments.

        Returns:
            `huggingface_hub.CommitInfo`, or its `Future` if not `blocking`; `None` on all but the main process.

        Raises:
            [`~trl_curriculum.publish.send.PushError`]: in one sentence. The model is saved before anything is sent.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        self.save_model(_internal_call=True)  # type: ignore[attr-defined]
        if not self.is_world_process_zero():  # type: ignore[attr-defined]
            return None
        tags = kwargs.pop("tags", None) or []
        kwargs["tags"] = [tags] if isinstance(tags, str) else [*tags]
        kwargs["tags"] += [tag for tag in getattr(self.model, "model_tags", None) or [] if tag not in kwargs["tags"]]
        name = kwargs.pop("model_name", None) or self.hub_model_id.split("/")[-1]
        self.create_model_card(model_name=name, **kwargs)  # type: ignore[attr-defined]
        self._finish_current_push()  # type: ignore[attr-defined]

        def send() -> CommitInfo:
            return self._send(commit_message or "End of training", token, revision)

        if not blocking:
            return self._later(send)
        folder = self.args.output_dir
        todo = f"run `{again(folder, self.hub_model_id)}` to send it."
        with named_failure(self.hub_model_id, SAFE.format(folder=folder), todo):
            return send()

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Sends what a checkpoint has saved while training goes on, as `hub_strategy` says."""
        args, running = self.args, self.push_in_progress
        if not self.is_world_process_zero() or args.hub_strategy == HubStrategy.END:  # type: ignore[attr-defined]
            return
        if running is not None and not running.is_done() and not args.hub_always_push:
            return
        self.callback_handler.on_push_begin(args, self.state, self.control)
        checkpoint = Path(checkpoint_folder)
        for one in public_files(checkpoint):  # which may be deleted while it is sent
            if is_listed(one.path, (*CONFIGS, *WEIGHTS, *TOKENIZER)):
                target = Path(args.output_dir) / one.path
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(one.file, target)
        message = f"Training in progress, step {self.state.global_step}"
        jobs = [self._later(lambda: self._send(message))]
        if args.hub_strategy in (HubStrategy.CHECKPOINT, HubStrategy.ALL_CHECKPOINTS):
            place = checkpoint.name if args.hub_strategy == HubStrategy.ALL_CHECKPOINTS else "last-checkpoint"
            told = f"{message}, checkpoint"
            jobs.append(self._later(lambda: self._commit(checkpoint_files(checkpoint), told, place=f"{place}/")))
        left = [] if running is None or running.is_done() else running.jobs
        self.push_in_progress = PushInProgress([*left, *jobs])  # type: ignore[arg-type]

    def _send(self, message: str, token: str | None = None, revision: str | None = None) -> CommitInfo:
        return self._commit(public_files(Path(self.args.output_dir)), message, token, revision)

    def _commit(
        self,
        files: list[PublicFile],
        message: str,
        token: str | None = None,
        revision: str | None = None,
        place: str = "",
    ) -> CommitInfo:
        revision, token = revision or self.args.hub_revision, token or self.args.hub_token
        return commit(hub(), self.hub_model_id, files, message, revision, token, place=place)

    def _later(self, send: Callable[[], CommitInfo]) -> Any:
        """The future of what is sent while training goes on; since nobody asks for its error, that is a warning."""

        def told() -> CommitInfo:
            try:
                with named_failure(
                    self.hub_model_id, "training goes on", "what it will have saved next is sent then."
                ):
                    return send()
            except (PushError, OSError, RuntimeError, ValueError) as error:
                logger.warning("%s was not sent to the Hub: %s", Path(self.args.output_dir).name, error)
                raise

        return self._api.run_as_future(told)
