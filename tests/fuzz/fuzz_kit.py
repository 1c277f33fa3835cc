"""
What a fuzzed input is, how it is run, and how its end is judged.

The rule: one sentence that names value and place, or a run that is right. A run is right when it ends as that of the
unmutated input, or as one in which nothing had to be noticed; a warning that names what is wrong counts as well.
"""

import contextlib
import hashlib
import json
import os
import re
import resource
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from commands import SCRIPTS, Done, forked

from trl_curriculum.cli import main
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts.launch import run_script


MEMORY = 8 << 30  # bytes of data that a command may take
FILE = 1 << 28  # bytes of one file that it may write
TIMEOUT = 900.0  # seconds; generous, since the machine may be busy with other work

REFUSE = "refuse"  # must end in a sentence
NOTICE = "notice"  # a sentence, a warning, or the run of the unmutated input
HARMLESS = "harmless"  # the same, and a sentence is more than is asked
FREE = "free"  # both are right

GOOD, BAD = ("sentence", "warning", "right"), ("traceback", "silent", "vague", "hang")


@dataclass(frozen=True)
class Scene:
    """A command that ends well: its config, and the rows of its files."""

    name: str
    command: str
    config: dict[str, Any]
    files: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    start: Callable[[Path], None] = lambda folder: None  # what else is there before it
    body: Callable[[Path], None] = lambda folder: None  # what is done in the command's process before it


@dataclass(frozen=True)
class Input:
    """A scene in which something is wrong."""

    group: str  # the kind of fault, for counts
    scene: Scene
    allowed: str
    tokens: tuple[str, ...]  # regular expressions, of which a sentence or a warning must match one
    config: dict[str, Any] | None = None  # in place of the scene's
    words: tuple[str, ...] = ()  # more words of the command line
    prepare: Callable[[Path], None] = lambda folder: None  # changes files
    dry: bool = False
    what: str = ""  # the fault, for reading
    told: list[str] = field(default_factory=list)  # what `prepare` says of it


@dataclass(frozen=True)
class Verdict:
    """How an input ended."""

    seed: str
    group: str
    kind: str
    text: str
    what: str
    allowed: str


def name(*words: Any) -> tuple[str, ...]:
    """Tokens that are looked for as they are."""
    return tuple(re.escape(str(word)) for word in words if str(word).strip())


def row_of(position: int, of: int) -> tuple[str, ...]:
    """Tokens for a row, counted from 0 or from 1, or for a count of one row."""
    places = f"({position}|{position + 1})"
    return (
        rf"(?i)\brows?\b\W*{places}\b",
        rf"(?i)\b(line|prompt|example) {places}\b",
        rf"\b1 (of (the )?{of} )?\w* ?rows?\b",
        rf"\b1 of (the )?{of}\b",
    )


def write_rows(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Runner:
    """
    Runs inputs in folders of their own.

    Args:
        home (`Path`):
            Folder of the models, of what unmutated scenes made, and of the inputs while they run.
    """

    def __init__(self, home: Path, timeout: float = TIMEOUT) -> None:
        self.home, self.timeout = home, timeout
        (home / "bases").mkdir(exist_ok=True)

    def run(self, seed: str, one: Input, keep: bool = False) -> Verdict:
        """Runs an input and judges it."""
        folder = self.home / "runs" / seed.replace(":", "-")
        shutil.rmtree(folder, ignore_errors=True)
        base = self.base(one.scene, one.dry)
        self._fill(folder, one.scene, one.config)
        one.prepare(folder)
        try:
            done, made = self._execute(folder, one.scene, one.words, one.dry)
        except TimeoutError as error:
            return Verdict(seed, one.group, "hang", str(error).splitlines()[-1][:300], one.what, one.allowed)
        finally:
            if not keep:
                shutil.rmtree(folder, ignore_errors=True)
        kind, text = judge(done, made, base, one)
        return Verdict(seed, one.group, kind, text, "; ".join([one.what, *one.told[:1]]), one.allowed)

    def base(self, scene: Scene, dry: bool) -> dict[str, Any]:
        """What the unmutated scene makes and says."""
        file = self.home / "bases" / f"{scene.name}{'-dry' if dry else ''}.json"
        if not file.exists():
            folder = self.home / "runs" / f"base-{file.stem}-{os.getpid()}"
            shutil.rmtree(folder, ignore_errors=True)
            self._fill(folder, scene, None)
            done, made = self._execute(folder, scene, (), dry)
            if done.code != 0:
                raise RuntimeError(f"The unmutated scene {scene.name} ends with {done.code}: {done.said[-3000:]}")
            draft = file.with_suffix(f".{os.getpid()}")
            draft.write_text(json.dumps({"made": made, "said": sorted(set(done.said.splitlines()))}))
            draft.rename(file)
            shutil.rmtree(folder)
        return json.loads(file.read_text())

    def _fill(self, folder: Path, scene: Scene, config: Any) -> None:
        folder.mkdir(parents=True)
        (folder / "models").symlink_to(self.home / "models")
        for file, rows in scene.files.items():
            write_rows(folder / file, rows)
        scene.start(folder)
        config = scene.config if config is None else config
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True)
        (folder / "config.yaml").write_text(text, errors="surrogatepass")

    def _execute(
        self, folder: Path, scene: Scene, words: tuple[str, ...], dry: bool
    ) -> tuple[Done, dict[str, Any] | None]:
        argv = [scene.command, "--config", "config.yaml", *(["--dry_run"] if dry else []), *words]
        digest = folder / ".digest"

        def body() -> int:
            import datasets

            os.chdir(folder)
            datasets.config.HF_DATASETS_CACHE = folder / ".cache"
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_FSIZE, (FILE, FILE))
            scene.body(folder)
            code = 0
            if dry or scene.command not in SCRIPTS:
                code = main(argv)
            else:
                script = load_recipe(SCRIPTS[scene.command])
                sys.argv = [str(script.__file__), *argv[1:]]
                run_script(script.main, script.make_parser())
            if not code and not dry:
                sys.stdout.flush()
                try:
                    made = MADE[scene.command](folder)
                except Exception as error:  # what a run leaves must be readable
                    made = {"unreadable": repr(error)}
                digest.write_text(json.dumps(made))
            return code

        done = forked(body, folder, self.timeout)
        if done.code != 0 or not (dry or digest.exists()):
            return done, None
        return done, {"plan": done.out} if dry else json.loads(digest.read_text())


def _hash(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


def _weights(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    tensors = load_file(file)
    return {"weights": _hash(file), "finite": all(bool(one.isfinite().all()) for one in tensors.values())}


def _trained(folder: Path) -> dict[str, Any]:
    from trl_curriculum import read_history

    history = read_history(folder / "out")
    drawn = [[str(step), str(row)] for step, row in zip(history["step"], history["row"], strict=True)]
    return {"drawn": drawn, **_weights(folder / "out/model.safetensors")}


def _scored(folder: Path) -> dict[str, Any]:
    import pandas as pd

    frame = pd.read_parquet(folder / "out.parquet")
    columns = (frame["row"], frame["score"].astype(float).round(6), frame["tokens"])
    return {"scores": [[str(value) for value in row] for row in zip(*columns, strict=True)]}


def _selected(folder: Path) -> dict[str, Any]:
    import pandas as pd

    (file,) = (folder / "out").glob("*/selected.parquet")
    frame = pd.read_parquet(file)
    return {"kept": [[str(p), str(c)] for p, c in zip(frame["prompt"], frame["completion"], strict=True)]}


def _evolved(folder: Path) -> dict[str, Any]:
    files = sorted((folder / "out").glob("round-*/train/**/adapter_model.safetensors"))
    files = files or sorted((folder / "out").glob("**/adapter_model.safetensors"))
    return _weights(files[-1])


MADE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "sft": _trained,
    "grpo": _trained,
    "score": _scored,
    "select": _selected,
    "evolve": _evolved,
}


def judge(done: Done, made: dict[str, Any] | None, base: dict[str, Any], one: Input) -> tuple[str, str]:
    """The kind of an end, and the line that shows it."""
    lines = done.err.strip().splitlines()
    last = lines[-1] if lines else ""
    if done.code != 0:
        if done.traceback or done.code not in (1, 2):
            return "traceback", f"[{done.code}] {last}"
        prefixes = (f"trl-curriculum {one.scene.command}: ", f"{SCRIPTS.get(one.scene.command, '')}.py: ")
        if not last.startswith(prefixes) and " error: " not in last:  # the latter is argparse's
            begun = next((line for line in reversed(lines) if line.startswith(prefixes)), "")
            return "vague", f"no one sentence: {begun or last}"
        if not any(re.search(token, last) for token in one.tokens):
            return "vague", last
        return "sentence", last
    if made is None or made.get("finite") is False:
        return "silent", "weights that are not finite"
    if made.get("unreadable"):
        return "silent", f"what it left cannot be read: {made['unreadable'][:200]}"
    if one.allowed == REFUSE:
        return "silent", "taken"
    if made == base["made"] or one.allowed == FREE:
        return "right", ""
    known = set(base["said"])
    for line in done.said.splitlines():
        if line not in known and any(re.search(token, line) for token in one.tokens):
            return "warning", line
    return "silent", "other than the unmutated run, without a word"


@contextlib.contextmanager
def quiet() -> Any:
    """Without what libraries print."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield
