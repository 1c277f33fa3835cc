"""`trl-curriculum push RUN --repo_id user/name`: a finished run's model, card, figure, draws and scores on the Hub."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..publish.evals import read_results, scores, write_evals
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
        help="results_*.json of lm-eval: the scores of tasks whose dataset is on the Hub go to .eval_results and into "
        "the card",
    )
    parser.add_argument("--dry_run", action="store_true", help="list what would be sent, with sizes, and send nothing")
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    args = make_parser().parse_args(argv)
    check_repo_id(args.repo_id)
    check_files(args.run, public_files(args.run))
    results = read_results(args.evals) if args.evals is not None else None
    if results is not None and not (tasks := [one.task for one in scores(results) if one.first]):
        raise ValueError(f"{args.evals} has no score of a task whose dataset is on the Hub: leave --evals out.")
    if args.dry_run:
        _show(args.run, args.repo_id)
        if results is not None:
            print(f"The scores of {', '.join(tasks)} would be added to the card and to .eval_results.")
        return 0
    check_login()
    todo = f"run `{again(args.run, args.repo_id, *_options(args))}` again; what has arrived is not sent twice."
    safe = f"nothing in {args.run} was lost, and the commit to {args.repo_id} is there as a whole or not at all"
    if not is_reachable():
        raise PushError(f"The Hub cannot be reached; {safe}: {todo}")
    if results is not None:
        write_evals(args.run, results)
    files = public_files(args.run)
    if not (args.run / CARD).exists():
        print(f"{args.run} has no {CARD}: the model is sent without a card.", file=sys.stderr)
    with named_failure(args.repo_id, safe, todo):
        api = hub()
        create(api, args.repo_id, args.private or None, args.revision)
        done = commit(api, args.repo_id, files, f"Push {args.run.resolve().name}", args.revision)
    print(f"{len(files)} files ({_size(sum(one.size for one in files))}) are in {done.commit_url}.")
    return 0


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
