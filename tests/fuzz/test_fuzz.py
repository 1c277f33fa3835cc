"""A short version of `make fuzz`, and the judge itself."""

import random
from pathlib import Path

import fuzz
import make_models
import pytest
from commands import Done
from fuzz_kit import BAD, FREE, NOTICE, REFUSE, Input, Runner, Scene, judge, quiet, row_of


SHORT = {"options": 120, "rows": 24, "files": 24, "states": 8}
CHEAP = {"sec-resumed", "evo_curate-resumed"}  # each stopped run of its own takes seconds


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    with quiet():
        make_models.make(folder / "models")
    return folder


def short(kind: str) -> list[str]:
    """The first seeds of a kind that are run here."""
    make, n = fuzz.KINDS[kind]
    chosen = []
    for k in range(n):
        given = make(random.Random(f"{kind}:{k}"))
        slow = given.scene.command in ("select", "evolve") and not given.dry
        if not slow and (kind != "states" or given.scene.name in CHEAP):
            chosen.append(f"{kind}:{k}")
    return chosen[: SHORT[kind]]


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_one_sentence_or_a_run_that_is_right(home: Path, kind: str) -> None:
    runner = Runner(home)
    found = [runner.run(seed, fuzz.make_input(seed)) for seed in short(kind)]
    wrong = [f"{v.kind} {v.seed}: {v.what}: {v.text}" for v in found if v.kind in BAD]
    assert not wrong, "\n".join(["replay by: python tests/fuzz/fuzz.py --replay SEED", *wrong])


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_a_seed_is_always_the_same_input(kind: str) -> None:
    first, second = (fuzz.make_input(f"{kind}:7") for _ in range(2))
    assert (first.what, repr(first.config), first.words) == (second.what, repr(second.config), second.words)


SCENE = Scene("x", "sft", {})
MADE, OTHER = {"weights": "1", "finite": True}, {"weights": "2", "finite": True}
TRACE = "Traceback (most recent call last):\n  x\nKeyError: 'tau'\n"


@pytest.mark.parametrize(
    ("code", "err", "made", "allowed", "kind"),
    [
        (1, "sft.py: tau=-1 of sec must be above 0.\n", None, REFUSE, "sentence"),
        (1, "sft.py: tau=-1 of sec must be above 0.\n", None, FREE, "sentence"),
        (2, "usage: x\nx: error: argument --tau: invalid float value: 'x'\n", None, REFUSE, "sentence"),
        (1, "sft.py: it must be above 0.\n", None, REFUSE, "vague"),
        (1, "sft.py: tau is wrong:\n  in line 3\n", None, REFUSE, "vague"),
        (1, "tau is wrong\n", None, REFUSE, "vague"),
        (1, TRACE, None, REFUSE, "traceback"),
        (-11, "sft.py: tau=-1 of sec must be above 0.\n", None, REFUSE, "traceback"),
        (0, "a warning: tau\n", MADE, REFUSE, "silent"),
        (0, "a warning: tau\n", OTHER, NOTICE, "warning"),
        (0, "a warning: alpha\n", OTHER, NOTICE, "silent"),
        (0, "said before: tau\n", OTHER, NOTICE, "silent"),
        (0, "", MADE, NOTICE, "right"),
        (0, "", OTHER, FREE, "right"),
        (0, "", {"weights": "1", "finite": False}, FREE, "silent"),
        (0, "", {"unreadable": "x"}, FREE, "silent"),
        (0, "", None, FREE, "silent"),
    ],
)
def test_the_judge(code: int, err: str, made: dict | None, allowed: str, kind: str) -> None:
    one = Input("x", SCENE, allowed, ("tau",))
    assert judge(Done(code, "", err), made, {"made": MADE, "said": ["said before: tau"]}, one)[0] == kind


@pytest.mark.parametrize("text", ["row 3: x", "Row 4 is", "(row 3)", "line 4", "1 of 12 rows", "1 row is left out"])
def test_a_row_is_named(text: str) -> None:
    one = Input("x", SCENE, REFUSE, row_of(3, 12))
    assert judge(Done(1, "", f"sft.py: {text}"), None, {}, one)[0] == "sentence"


@pytest.mark.parametrize("text", ["row 31", "rows", "12 rows", "row 5", "11 of 12"])
def test_a_row_is_not_named(text: str) -> None:
    one = Input("x", SCENE, REFUSE, row_of(3, 12))
    assert judge(Done(1, "", f"sft.py: {text}"), None, {}, one)[0] == "vague"
