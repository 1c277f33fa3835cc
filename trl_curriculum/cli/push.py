"""`trl-curriculum push RUN --repo_id user/name`: a finished run's model, card, figure, draws and scores on the Hub."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm.auto import tqdm

from ..publish.evals import Evals, find_results, read_results, write_evals
from ..publish.files import CARD, check_files, public_files
from ..publish.send import PushError, again, check_login, check_repo_id, commit, create, hub, named_failure
from ..scripts.hub import is_reachable
from . import COMMANDS


def make_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="trl-curriculum push",
        description=f"{COMMANDS['push']}: model or adapter, tokenizer, model card, figure, history of draws and "
        "scores; never optimizer states, checkpoints, texts of rows or logs. The same command, run again, completes a "
        "push that failed.",
    )
    parser.add_argument("run", type=Path, help="output folder of the run, or one of its checkpoints")
    parser.add_argument("--repo_id", required=True, help="where to, as user/name; made where it is not there yet")
    parser.add_argument("--private", action="store_true", help="make the repository private, if it is made now")
    parser.add_argument("--revision", help="branch to commit to, made where it is not there yet (default: main)")
    parser.add_argument(
        "--evals",
        type=Path,
        help="results_*.json of lm-eval, or the file of `trl-curriculum eval`, which is found where it is kept by "
        "default: the scores of tasks whose dataset is on the Hub go to .eval_results and into the card",
    )
    parser.add_argument("--dry_run", action="store_true", help="list what would be sent, with sizes, and send nothing")
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    args = make_parser().parse_args(argv)
    check_repo_id(args.repo_id)
    check_files(args.run, public_files(args.run))
    evals = _evals(args)
    if args.dry_run:
        _show(args.run, args.repo_id)
        return 0
    check_login()
    todo = f"run `{again(args.run, args.repo_id, *_options(args))}` again; what has arrived is not sent twice."
    safe = f"nothing in {args.run} was lost, and the commit to {args.repo_id} is there as a whole or not at all"
    if not is_reachable():
        raise PushError(f"The Hub cannot be reached; {safe}: {todo}")
    write_evals(args.run, evals)
    files = public_files(args.run)
    if not (args.run / CARD).exists():
        print(f"{args.run} has no {CARD}: the model is sent without a card.", file=sys.stderr)
    with _bars_closed(), named_failure(args.repo_id, safe, todo):
        api = hub()
        create(api, args.repo_id, args.private or None, args.revision)
        message, outdated = f"Push {args.run.resolve().name}", [place for place, _ in evals.outdated_files()]
        done = commit(api, args.repo_id, files, message, args.revision, outdated=outdated)
    print(f"{len(files)} files ({_size(sum(one.size for one in files))}) are in {done.commit_url}.")
    return 0


def _evals(args: argparse.Namespace) -> Evals:
    """The scores that are sent, of the file that is given or of the one that evaluating this model has left."""
    file = args.evals or find_results(args.run)
    if file is None:
        return Evals()
    evals = read_results(file, args.run)
    left_out, tasks = " ".join(evals.left_out), ", ".join(evals.tasks)
    if not tasks and args.evals is not None:
        raise ValueError(left_out or f"{file} has no score of a task whose dataset is on the Hub: leave --evals out.")
    if left_out:
        print(left_out, file=sys.stderr)
    if tasks:
        how = "would be" if args.dry_run else "are"
        print(f"The scores of {tasks} {how} added to the card and to .eval_results, from {file}.")
    return evals


@contextmanager
def _bars_closed() -> Iterator[None]:
    """Ends the line of a progress bar that an error has left open."""
    try:
        yield
    except Exception:
        for bar in [*getattr(tqdm, "_instances", ())]:
            bar.close()
        raise


def _options(args: argparse.Namespace) -> list[str]:
    options = ["--private"] if args.private else []
    options += ["--revision", args.revision] if args.revision is not None else []
    return options + (["--evals", str(args.evals)] if args.evals is not None else [])


def _show(folder: Path, repo_id: str) -> None:
    files = public_files(folder)
    width = max(len(one.path) for one in files)
    print(f"To {repo_id}:")
    for one in files:
        note = "  the base model's folder is shortened to its last part" if one.content is not None else ""
        print(f"{one.path:<{width}}  {_size(one.size):>10}{note}")
    print(f"{len(files)} files, {_size(sum(one.size for one in files))}. Nothing was sent.")


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.2f} GB"
