"""`trl-curriculum methods`: what a run can name, and what each method's options are."""

import json

import pytest

from trl_curriculum.cli import main
from trl_curriculum.families import FAMILIES


def told(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["methods", *argv]) == 0
    return capsys.readouterr().out


def test_the_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    lines = [line.split() for line in told([], capsys).splitlines()]
    assert lines[0] == ["name", "family", "trainers", "signal", "cost", "paper"]
    assert [line[0] for line in lines[1:]] == [
        name for registry in FAMILIES.values() for name in sorted(registry.names())
    ]
    sec = next(line for line in lines if line[0] == "sec")
    assert sec[1:3] == ["curricula", "GRPO"] and sec[-1] == "2505.14970"


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(told(["--json"], capsys))
    assert all(set(row) == {"name", "family", "trainers", "signal", "cost", "paper"} for row in rows)
    curricula = {row["name"]: row for row in rows if row["family"] == "curricula"}
    assert sorted(curricula) == sorted(FAMILIES["curricula"].names())
    assert all(all(row.values()) for row in curricula.values())
    trainers = {name: row["trainers"] for name, row in curricula.items()}
    assert (trainers["uniform"], trainers["sec"], trainers["evo_curate"]) == ("GRPO, SFT", "GRPO", "GRPO, SFT")
    assert (trainers["edco"], trainers["ucb1"]) == ("GRPO, SFT", "GRPO")


def test_of_one_family(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(told(["--family", "probes", "--json"], capsys))
    names = ["angle_concentration", "loss", "prefix_entropy", "prompt_entropy"]
    assert [(row["name"], row["family"]) for row in rows] == [(name, "probes") for name in names]


def test_one_method(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    text = told(["sec"], capsys)
    assert text.startswith("Self-Evolving Curriculum: a non-stationary bandit over categories")
    assert "curricula; GRPO; arXiv 2505.14970; extra cost: free" in text
    assert ">>>" not in text and "Example:" not in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "option default type what it does default from" in lines
    tau = "tau 1.0 float above 0 Temperature. the paper's 1.0 for Countdown; .4 for MATH, .2 for SEC-2D"
    assert tau in lines
    unsampled = next(line for line in lines if line.startswith("unsampled"))
    assert unsampled.startswith("unsampled keep one of 'keep', 'decay' What an arm that is absent from a batch does")
    assert [name for name in ("outcome", "prior", "alpha") if not any(line.startswith(name) for line in lines)] == []


def test_one_method_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    (method,) = json.loads(told(["sec", "--json"], capsys))
    assert (method["name"], method["family"], method["trainers"]) == ("sec", "curricula", "GRPO")
    options = {option.pop("name"): option for option in method["options"]}
    assert list(options) == ["outcome", "prior", "alpha", "tau", "unsampled"]
    assert options["tau"] == {
        "type": "float",
        "needed": False,
        "default": 1.0,
        "limits": "above 0",
        "help": "Temperature.",
        "source": "the paper's 1.0 for Countdown; .4 for MATH, .2 for SEC-2D",
    }


def test_an_option_that_must_be_given(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    lines = [line.split() for line in told(["clusters"], capsys).splitlines()]
    assert [line[1] for line in lines if line[:1] in (["k"], ["column"])] == ["needed", "None"]


def test_a_name_in_two_families(capsys: pytest.CaptureFixture[str]) -> None:
    """`edco_code` is a bundle, `edco` a curriculum; `--family` says which family is meant."""
    assert [row["family"] for row in json.loads(told(["edco_code", "--json"], capsys))] == ["bundles"]
    assert [row["family"] for row in json.loads(told(["edco", "--json"], capsys))] == ["curricula"]
    assert main(["methods", "edco", "--family", "probes"]) == 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["secc"], "No method is called 'secc' (did you mean 'sec'?): see them without a name."),
        (["prefix_entrpy"], "No method is called 'prefix_entrpy' (did you mean 'prefix_entropy'?)"),
        (["sec", "--family", "arms"], "No method is called 'sec'"),
        (["qqqq"], "No method is called 'qqqq': see them without a name."),
    ],
)
def test_an_unknown_name(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", *argv]) == 1
    error = capsys.readouterr().err
    assert error.startswith("trl-curriculum methods: ") and message in error and error.count("\n") == 1
