"""Sending to the Hub: in one commit, which is there as a whole or not at all, and errors as one sentence."""

import errno
import os
import shlex
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from ..version import __version__
from .files import REPLACED, PublicFile, is_listed


LOGIN = "run `hf auth login`, or set HF_TOKEN to a token that may write"


class PushError(OSError):
    """What kept a run from the Hub, in one sentence that says what to do."""


def check_repo_id(repo_id: str) -> None:
    """
    Refuses what is no `user/name`.

    Raises:
        `ValueError`: in one sentence.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise ValueError(f"repo_id={repo_id!r} is no name on the Hub ({error}): give it as user/name.") from error
    if repo_id.count("/") != 1:
        raise ValueError(f"repo_id={repo_id!r} does not say whose it is: give it as user/name.")


def check_login() -> None:
    """
    Refuses where there is no token to write with.

    Raises:
        [`PushError`]: in one sentence.
    """
    if get_token() is None:
        raise PushError(f"Nobody is logged in to the Hub: {LOGIN}.")


def create(api: HfApi, repo_id: str, private: bool | None, revision: str | None) -> None:
    """Makes the repository, and the branch, where they are not there yet."""
    api.create_repo(repo_id, private=private, exist_ok=True)
    if revision is not None and revision != "main":
        api.create_branch(repo_id, branch=revision, exist_ok=True)


def commit(
    api: HfApi,
    repo_id: str,
    files: Sequence[PublicFile],
    message: str,
    revision: str | None = None,
    token: str | None = None,
    outdated: Sequence[str] = (),
    place: str = "",
) -> CommitInfo:
    """
    Sends files in one commit, in which weights and draws of an earlier model go.

    Args:
        api ([`~huggingface_hub.HfApi`]):
            The Hub.
        repo_id (`str`):
            A repository that is there.
        files (`Sequence[PublicFile]`):
            What is sent. What the Hub has already is not sent again.
        message (`str`):
            Of the commit.
        revision (`str`, *optional*):
            Branch; by default the main one.
        token (`str`, *optional*):
            To write with; by default that of who is logged in.
        outdated (`Sequence[str]`):
            Further places whose files go, unless they are sent.
        place (`str`, *optional*):
            Folder of the repository, with its `/`; by default its root.
    """
    sent = {f"{place}{one.path}": str(one.file) if one.content is None else one.content for one in files}
    before = set(api.list_repo_files(repo_id, revision=revision, token=token)) - sent.keys()
    old = [path for path in before if path.startswith(place) and is_listed(path.removeprefix(place), REPLACED)]
    gone = sorted({*old, *before.intersection(outdated)})
    operations: list[Any] = [CommitOperationAdd(path, content) for path, content in sent.items()]
    operations += [CommitOperationDelete(path) for path in gone]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")  # the draws
        return api.create_commit(repo_id, operations, commit_message=message, revision=revision, token=token)


def hub() -> HfApi:
    """The Hub, told which library asks."""
    return HfApi(library_name="trl_curriculum", library_version=__version__)


def again(folder: str | Path, repo_id: str | None, *options: str) -> str:
    """The command that sends a folder."""
    return shlex.join(["trl-curriculum", "push", str(folder), "--repo_id", repo_id or "user/name", *options])


@contextmanager
def named_failure(repo_id: str | None, what: str, todo: str) -> Iterator[None]:
    """
    Turns what goes wrong with the Hub into one sentence; other errors pass as they are.

    Args:
        repo_id (`str`, *optional*):
            The repository.
        what (`str`):
            What is safe, in a clause.
        todo (`str`):
            What to do then.

    Raises:
        [`PushError`]: in one sentence.
    """
    try:
        yield
    except PushError:
        raise
    except (HTTPError, OfflineModeIsEnabled, OSError, RuntimeError, ValueError) as error:
        reason = _reason(error, repo_id)
        if reason is None:
            raise
        raise PushError(f"{reason}; {what}: {todo}") from error


def _reason(error: Exception, repo_id: str | None) -> str | None:
    """Why the Hub could not be written to; `None` for an error that has nothing to do with it."""
    where = f"to {repo_id}" if repo_id else "to the Hub"
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # of the upload of a file
        return _reason(error.__cause__, repo_id)
    if isinstance(error, HfHubHTTPError):
        code = getattr(getattr(error, "response", None), "status_code", None)
        said = " ".join(str(getattr(error, "server_message", None) or "").split())[:200]
        told = f" ({said})" if said else ""
        known = {
            401: f"The Hub does not know the token{told}, so {LOGIN}",
            403: f"The token may not write {where}{told}: take one with the permission, or a repository of your own",
            404: f"There is no repository or branch to write {where}, or the token may not see it{told}",
            409: f"Another commit {where} came in between{told}",
            412: f"Another commit {where} came in between{told}",
            413: f"A file is too large for {repo_id or 'the Hub'}{told}",
            429: f"The Hub takes no more requests for now{told}",
            507: f"The storage of the Hub that may be used is full{told}",
        }
        return known.get(code or 0, f"The Hub answered {code or 'with an error'}{told} when sending {where}")
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE says that there is no network"
    if isinstance(error, HTTPError):
        return f"The connection failed when sending {where} ({type(error).__name__})"
    if not _is_of_the_hub(error):
        return None
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{os.strerror(error.errno)} on this machine when sending {where}"
    return f"The upload failed when sending {where} ({' '.join(str(error).split())[:200]})"


def _is_of_the_hub(error: Exception) -> bool:
    """Whether an error came up in huggingface_hub, not in what was done before, such as saving the model."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_globals.get("__name__", "").startswith("huggingface_hub") for frame, _ in frames)
