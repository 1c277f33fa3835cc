"""What a trainer sends to the Hub: of its output folder what may be published, and nothing else that lies there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers.trainer
from huggingface_hub import CommitInfo, HfApi

from ..publish.files import public_files
from ..publish.send import PushError, again, commit, named_failure


logger = logging.getLogger(__name__)

# Of a checkpoint that `hub_strategy` asks for: the arguments, among them the token, and rollouts
NOT_OF_CHECKPOINTS = ("training_args.bin", "generation_buffer_*")
SAFE = "the model is safe in {folder}"


class PushMixin:
    """What curriculum trainers override to send their runs."""

    args: Any
    hub_model_id: Any

    def init_hf_repo(self, *args: Any, **kwargs: Any) -> None:
        """As in transformers, before anything is trained; what is wrong is one sentence."""
        todo = "log in, or leave push_to_hub out."
        with named_failure(self.args.hub_model_id, "nothing was trained or lost", todo):
            super().init_hf_repo(*args, **kwargs)  # type: ignore[misc]

    def push_to_hub(self, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but of the output folder only model, tokenizer, card, figure, draws and scores."""
        with only_public_files(), self._named():
            return super().push_to_hub(*args, **kwargs)  # type: ignore[misc]

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        with only_public_files():
            super()._push_from_checkpoint(checkpoint_folder)  # type: ignore[misc]

    def _named(self) -> Any:
        folder = self.args.output_dir
        todo = f"run `{again(folder, self.hub_model_id)}` to send it."
        return named_failure(self.hub_model_id, SAFE.format(folder=folder), todo)


@contextmanager
def only_public_files() -> Iterator[None]:
    """
    In here transformers' trainers upload by [`PublicApi`].

    They send all of the output folder but `_*` and checkpoints: texts of completions and logs as well, and
    `training_args.bin`, in which `hub_token` stands. They leave no place to say what is sent.
    """
    stock = transformers.trainer.hf_api
    transformers.trainer.hf_api = lambda: PublicApi(stock())
    try:
        yield
    finally:
        transformers.trainer.hf_api = stock


class PublicApi(HfApi):
    """The Hub as transformers' trainers know it, but for uploads of folders."""

    def __init__(self, api: HfApi) -> None:
        vars(self).update(vars(api))

    def upload_folder(  # type: ignore[override]
        self,
        *,
        repo_id: str,
        folder_path: str | Path,
        commit_message: str,
        token: str | None = None,
        revision: str | None = None,
        run_as_future: bool = False,
        path_in_repo: str | None = None,
        ignore_patterns: Any = None,
    ) -> Any:
        """Sends what may be published: of a run by the list of public files, of a checkpoint all but a few."""

        def send() -> CommitInfo:
            if path_in_repo is None:
                return commit(self, repo_id, public_files(Path(folder_path)), commit_message, revision, token)
            return super(PublicApi, self).upload_folder(
                repo_id=repo_id,
                folder_path=folder_path,
                path_in_repo=path_in_repo,
                commit_message=commit_message,
                token=token,
                revision=revision,
                ignore_patterns=[*NOT_OF_CHECKPOINTS],
            )

        def send_later() -> CommitInfo:  # its error is asked for by nobody
            try:
                with named_failure(repo_id, "training goes on", "what it will have saved next is sent then."):
                    return send()
            except (PushError, OSError, RuntimeError, ValueError) as error:
                logger.warning("%s was not sent to the Hub: %s", Path(folder_path).name, error)
                raise

        return self.run_as_future(send_later) if run_as_future else send()
