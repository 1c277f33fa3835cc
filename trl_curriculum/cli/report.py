"""`trl-curriculum report RUN [RUN …]`: one HTML page on what runs have drawn, and what came of it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import COMMANDS


def make_parser() -> argparse.ArgumentParser:
    """The parser of this command."""
    parser = argparse.ArgumentParser(
        prog="trl-curriculum report",
        description=f"{COMMANDS['report']}. The page opens in any browser, without a network. It needs "
        "`pip install 'trl_curriculum[report]'`.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="output_dir of a run")
    parser.add_argument(
        "--output",
        default="report.html",
        help="where to write the page (default: report.html in the current folder, since what lies in an output_dir "
        "may be pushed to the Hub, and the page shows texts of rows)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file there that is no such report")
    return parser


def run(argv: Sequence[str]) -> int:
    """Run the command on the arguments after its name."""
    args = make_parser().parse_args(argv)
    from ..report.page import write_report  # which needs pandas

    file = write_report(args.runs, Path(args.output), args.overwrite)
    print(f"{file} written ({file.stat().st_size / 1e6:.1f} MB).")
    return 0
