"""Nothing on disk is lost, foreign or silently wrong: cases, and others of their kinds."""

import json
import os
import resource
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from commands import SCRIPTS, Done, command, forked
from kit import GRPO, SELECT, SFT, case

from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.report.history import read_history
from trl_curriculum.scripts.launch import run_script


SECRET = "not-for-any-file-91827"
PASSWORD = "pass-81726354"
CARRY = ("--on_data_change", "carry_over")


def sft(inputs: Path, out: str, *more: str, data: str = "data/texts") -> Done:
    return command([*SFT.split(), "--dataset_name", data, "--output_dir", out, *more], inputs)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# N05: two runs in one folder


def test_a_second_run_asks_for_a_decision(inputs: Path) -> None:
    out = "out/n05"
    assert sft(inputs, out).code == 0
    before = contents(inputs / out)
    said = case("N05", inputs, "--output_dir", out).sentence
    assert "out/n05 holds an earlier run (curriculum_history)" in said
    for choice in ("resume_from_checkpoint: auto", "overwrite_output_dir: true", "another output_dir"):
        assert choice in said
    assert contents(inputs / out) == before
    done = sft(inputs, out, "--overwrite_output_dir", "--max_steps", "2")
    assert done.code == 0 and "is moved to curriculum_history.1" in done.said
    assert len(read_history(inputs / out)) == 4 and len(list((inputs / out / "curriculum_history.1").iterdir())) == 1


def test_one_command_starts_and_restarts(inputs: Path) -> None:
    out, auto = "out/auto", ("--save_strategy", "steps", "--save_steps", "1", "--resume_from_checkpoint", "auto")
    assert sft(inputs, out, *auto).code == 0
    whole = (inputs / out / "model.safetensors").read_bytes()
    draws = read_history(inputs / out)
    shutil.rmtree(inputs / out / "checkpoint-3")
    newest = inputs / out / "checkpoint-2/optimizer.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    done = sft(inputs, out, *auto)
    assert done.code == 0 and "checkpoint-2, which is incomplete: optimizer.pt is cut off" in done.said
    assert (inputs / out / "model.safetensors").read_bytes() == whole
    assert read_history(inputs / out).equals(draws)


def test_the_models_own_folder_is_no_output_folder(inputs: Path) -> None:
    before = contents(inputs / "models/tiny")
    for done in (sft(inputs, "models/tiny"), command([*select_argv(), "--output_dir", "models/tiny/."], inputs)):
        assert "is the folder of the model itself" in done.sentence
    assert contents(inputs / "models/tiny") == before


def test_stages_go_on_by_themselves(inputs: Path) -> None:
    argv = ["evolve", *SFT.split()[1:], "--dataset_name", "data/texts", "--output_dir", "out/stages"]
    said = command([*argv, "--overwrite_output_dir", "--use_peft", "true"], inputs).sentence
    assert "overwrite_output_dir has no effect on stages" in said


def select_argv() -> list[str]:
    return [*shlex.split(SELECT), "--candidates", "data/pool/train.jsonl"]


# R11: what identifies a row


@pytest.fixture(scope="module")
def carried(inputs: Path) -> Path:
    """A run whose last two checkpoints are gone."""
    done = case("R11", inputs, "--output_dir", "carried")
    assert done.code == 0, done.said
    for step in (4, 6):
        shutil.rmtree(inputs / f"carried/checkpoint-{step}")
    return inputs / "carried"


def resumed(name: str, inputs: Path, carried: Path, *more: str) -> Done:
    folder = inputs / "out" / f"{name}{len(more)}"
    shutil.copytree(carried, folder)
    return case(name, inputs, "--output_dir", str(folder), *more)


def test_a_column_that_training_does_not_use_changes_no_row(inputs: Path, carried: Path) -> None:
    done = resumed("R11a", inputs, carried)
    assert done.code == 0, done.said
    assert "Columns that training does not read are not those of the checkpoint (new: note)." in done.said
    assert read_history(inputs / "out/R11a0").equals(read_history(carried))


def test_renamed_arms_keep_their_rows(inputs: Path, carried: Path) -> None:
    counts = "8 rows kept, 0 new, 0 lost; arm 'a' is now 'A'; arm 'b' is now 'B'"
    assert f"The dataset changed since the checkpoint: {counts}" in resumed("R11b", inputs, carried).sentence
    done = resumed("R11b", inputs, carried, *CARRY)
    assert done.code == 0, done.said
    assert f"Resuming on changed data: {counts}." in done.said
    assert read_history(inputs / "out/R11b2")["row"].tolist() == read_history(carried)["row"].tolist()


def test_another_text_is_another_row(inputs: Path, carried: Path) -> None:
    rows = [json.loads(line) for line in (inputs / "data/texts/train.jsonl").read_text().splitlines()]
    rows[2]["text"] += "!"
    (inputs / "data/texts_changed").mkdir()
    (inputs / "data/texts_changed/train.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = resumed("R11a", inputs, carried, "--dataset_name", "data/texts_changed")
    assert "7 rows kept, 1 new, 1 lost" in done.sentence


def test_a_reference_answer_belongs_to_its_row(inputs: Path) -> None:
    run = [
        *GRPO.split(),
        "--save_strategy",
        "steps",
        "--save_steps",
        "1",
        "--max_steps",
        "1",
        "--output_dir",
        "out/gold",
    ]
    assert command([*run, "--dataset_name", "data/prompts"], inputs).code == 0
    rows = [json.loads(line) for line in (inputs / "data/prompts/train.jsonl").read_text().splitlines()]
    for name, column, value in (("ids", "id", "new"), ("gold", "answer", "7")):
        (inputs / f"data/prompts_{name}").mkdir()
        changed = [row | ({column: value} if k == 3 else {}) for k, row in enumerate(rows)]
        lines = "".join(f"{json.dumps(row)}\n" for row in changed)
        (inputs / f"data/prompts_{name}/train.jsonl").write_text(lines)
    again = [*run, "--resume_from_checkpoint", "auto", "--dataset_name"]
    done = command([*again, "data/prompts_ids"], inputs)
    assert done.code == 0 and "(changed: id)" in done.said
    assert "39 rows kept, 1 new, 1 lost" in command([*again, "data/prompts_gold"], inputs).sentence


# Foreign data


@pytest.mark.parametrize("name", ["candidates", "proxy", "features", "evoselect"])
def test_select_removes_nothing_of_somebody_else(inputs: Path, name: str) -> None:
    out = inputs / f"out/foreign_{name}"
    (out / name).mkdir(parents=True)
    (out / name / "settings.json").write_text('{"settings": {"mine": 1}}')
    (out / name / "candidates.parquet").write_text("mine")
    before = contents(out)
    said = command([*select_argv(), "--output_dir", str(out)], inputs).sentence
    assert f"{name} has no settings.json that this package has written" in said and "move it elsewhere" in said
    assert contents(out) == before


# Secrets


def secretive(inputs: Path, out: str) -> None:
    """No file holds a secret, but for transformers' own pickle of the arguments."""
    found = [name for name, content in contents(inputs / out).items() if b"91827" in content or b"81726354" in content]
    assert {Path(name).name for name in found} <= {"training_args.bin"}, found


KWARGS = json.dumps({"token": SECRET, "proxies": {"https": f"http://me:{PASSWORD}@proxy.example:1"}})


def test_a_run_leaves_secrets_in_no_file(inputs: Path) -> None:
    for name, out in ((SFT, "out/secret_sft"), (GRPO, "out/secret_grpo")):
        data = "data/texts" if name is SFT else "data/prompts"
        given = ["--dataset_name", data, "--save_strategy", "steps", "--save_steps", "1", "--output_dir", out]
        given += ["--max_steps", "1", "--hub_token", SECRET, "--model_init_kwargs", KWARGS]
        done = command([*name.split(), *given], inputs)
        assert done.code == 0, done.said
        assert SECRET not in done.said and PASSWORD not in done.said
        secretive(inputs, out)


def test_select_leaves_secrets_in_no_file(inputs: Path) -> None:
    argv = [*select_argv(), "--output_dir", "out/secret_select", "--model_init_kwargs", KWARGS, "--hub_token", SECRET]
    done = command(argv, inputs)
    assert done.code == 0, done.said
    assert SECRET not in done.said and PASSWORD not in done.said
    secretive(inputs, "out/secret_select")


# A full disk


SAVED = ("--save_strategy", "steps", "--save_steps", "1", "--resume_from_checkpoint", "auto")


def on_a_full_disk(argv: list[str], inputs: Path, most: int) -> Done:
    """A command whose files cannot grow beyond `most` bytes."""

    def body() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        os.chdir(inputs)
        script = load_recipe(SCRIPTS[argv[0]])
        sys.argv = [str(script.__file__), *argv[1:]]
        run_script(script.main, script.make_parser())
        return 0

    return forked(body, inputs)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt"])
def test_a_checkpoint_on_a_full_disk(inputs: Path, name: str) -> None:
    """One sentence, and the last whole checkpoint is as good as before."""
    out, whole = f"out/full_{name}", f"out/not_full_{name}"
    assert sft(inputs, whole, *SAVED).code == 0
    shutil.copytree(inputs / whole, inputs / out)
    for step in (2, 3):
        shutil.rmtree(inputs / out / f"checkpoint-{step}")
    size = (inputs / out / "checkpoint-1" / name).stat().st_size
    argv = [*SFT.split(), "--dataset_name", "data/texts", "--output_dir", out, *SAVED]
    said = on_a_full_disk(argv, inputs, size - 100).sentence
    assert f"was not written in {out}" in said and "bytes are free; make room and run it again." in said
    assert sft(inputs, out, *SAVED).code == 0
    assert read_history(inputs / out).equals(read_history(inputs / whole))


def test_a_selection_on_a_full_disk(inputs: Path) -> None:
    argv = [*select_argv(), "--output_dir", "out/full_select"]
    for most in (12_000, 20_000):
        said = on_a_full_disk(argv, inputs, most).sentence
        assert "File too large" in said and "make room and run it again." in said, (most, said)
    done = command(argv, inputs)
    assert done.code == 0, done.said
