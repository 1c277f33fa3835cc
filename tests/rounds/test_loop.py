"""The loop on other stages than those of `evolve`: a toy self-play; and what a stage depends on."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import pytest
import self_play
import torch
from harness import ENVIRONMENT
from peft import LoraConfig
from self_play import loop

from trl_curriculum import CurriculumSFTConfig
from trl_curriculum.generators import Candidate, load
from trl_curriculum.rounds import Job
from trl_curriculum.rounds.evaluate import Evaluate
from trl_curriculum.rounds.loop import Round, run_stages
from trl_curriculum.rounds.model import Model
from trl_curriculum.rounds.stage import IGNORED, RecordedBy, Stage
from trl_curriculum.rounds.training import training_settings
from trl_curriculum.testing.rounds import RoundsCase, a_finished_round_is_not_done_again, the_plan_says_how_often


PYTHONPATH = {"PYTHONPATH": os.pathsep.join([ENVIRONMENT["PYTHONPATH"], *sys.path])}
Played = list[dict[str, Any]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_path: str) -> tuple[Path, Played]:
    """Folder and reports of two rounds that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, loop(folder, tiny_path).run()[1]


def weights(folder: Path) -> bytes:
    return (folder / "round-1/train/adapter_model.safetensors").read_bytes()


class TestSelfPlay:
    def test_it_learns_from_its_own_best_answers(self, whole: tuple[Path, Played]) -> None:
        folder, (first, second) = whole
        assert first["questions"]["best"] > first["questions"]["reward"] and second["train"]["steps"] == 6
        assert second["questions"]["reward"] > first["questions"]["reward"]
        rows = [load(folder / f"round-{k}/questions/rows.parquet") for k in range(2)]
        assert [len(one) for one in rows] == [8, 8] and not {*map(repr, rows[0])} & {*map(repr, rows[1])}

    def test_killed_it_ends_the_same(self, whole: tuple[Path, Played], tiny_path: str, tmp_path: Path) -> None:
        command = [sys.executable, self_play.__file__, str(tmp_path / "run"), tiny_path, "round-1"]
        killed = subprocess.run(command, env=ENVIRONMENT | PYTHONPATH, capture_output=True, text=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        finished = sorted(str(path.parent.relative_to(tmp_path / "run")) for path in tmp_path.rglob("done.json"))
        assert finished == ["round-0/questions", "round-0/train", "round-1/questions"]
        before = (tmp_path / "run/round-1/questions/rows.parquet").stat().st_mtime_ns
        _, rounds = loop(tmp_path / "run", tiny_path).run()
        assert (tmp_path / "run/round-1/questions/rows.parquet").stat().st_mtime_ns == before
        assert weights(tmp_path / "run") == weights(whole[0])
        for found, expected in zip(rounds, whole[1], strict=True):
            for stage in ("questions", "train"):
                assert found[stage] | {"seconds": 0} == expected[stage] | {"seconds": 0}

    def test_it_goes_on_after_it_was_moved(self, whole: tuple[Path, Played], tiny_path: str, tmp_path: Path) -> None:
        shutil.copytree(whole[0], tmp_path / "run")
        with pytest.MonkeyPatch.context() as patch:
            for cls in (self_play.Questions, self_play.Train):
                patch.setattr(cls, "run", lambda *args: pytest.fail("a finished stage was run again"))
            assert loop(tmp_path / "run", tiny_path).run()[1] == whole[1]
        _, rounds = loop(tmp_path / "run", tiny_path, rounds=3).run()
        assert rounds[:2] == whole[1] and rounds[2]["train"]["steps"] == 6


@dataclass(frozen=True)
class Given:
    n: int
    password: str


@dataclass(frozen=True)
class Filled(Stage):
    rows: list[Candidate]
    given: Given
    at: Path
    options: dict[str, Any]
    half: Annotated[int, RecordedBy(lambda n: n // 2)]
    shown: Annotated[bool, IGNORED]

    def run(self, folder: Path) -> dict[str, Any]:
        return {}


STAGE = Filled([Candidate("a", "b")], Given(1, "x"), Path("run/a"), {"f": max, "dtype": torch.float32}, 4, True)


class TestWhatAStageDependsOn:
    def test_its_fields_as_plain_values(self) -> None:
        found = STAGE.settings(Path("run"))
        assert found.pop("rows").startswith("1 rows with the fingerprint ")
        assert found == {
            "given": {"n": 1, "password": "x"},
            "at": "a",
            "options": {"f": "max", "dtype": "torch.float32"},
            "half": 2,
        }

    @pytest.mark.parametrize(
        ("change", "name"),
        [
            ({"rows": [Candidate("a", "c")]}, "rows"),
            ({"given": Given(2, "x")}, "given.n"),
            ({"at": Path("elsewhere/a")}, "at"),
            ({"options": {"f": min, "dtype": torch.float32}}, "options.f"),
            ({"half": 6}, "half"),
            ({"half": 5}, None),
            ({"shown": False}, None),
            ({"given": Given(1, "y")}, None),
        ],
    )
    def test_it_is_done_for_the_same_and_refused_for_others(
        self, tmp_path: Path, change: dict[str, Any], name: str | None
    ) -> None:
        first = run_stages({"s": replace(STAGE, at=tmp_path / "a")}, tmp_path)
        other = replace(replace(STAGE, at=tmp_path / "a"), **change)
        if name is None:
            assert run_stages({"s": other}, tmp_path) == first
        else:
            with pytest.raises(ValueError, match=f"s was made with {name}="):
                run_stages({"s": other}, tmp_path)

    def test_other_settings_of_a_late_stage_are_refused_before_an_early_one_runs(self, tmp_path: Path) -> None:
        run_stages({"late": STAGE}, tmp_path)
        with pytest.raises(ValueError, match="late was made with half=2, and now it is 3"):
            run_stages({"early": STAGE, "late": replace(STAGE, half=6)}, tmp_path)
        assert not (tmp_path / "early").exists()

    def test_where_a_model_lies_does_not_count(self, tmp_path: Path, tiny_path: str) -> None:
        (tmp_path / "moved").symlink_to(tiny_path)
        assert Model.of(tiny_path).weights == Model.of(str(tmp_path / "moved")).weights != tiny_path

    def test_a_token_is_in_no_file(self, tmp_path: Path, tiny_path: str) -> None:
        kwargs = {"token": "hf_" + "a" * 34, "dtype": torch.float32}
        rows = [Candidate("1:ab#", "gh")]
        run_stages({"s": Evaluate(Model.of(tiny_path, kwargs), rows, None, 4, None)}, tmp_path)
        settings = json.loads((tmp_path / "s/settings.json").read_text())["settings"]
        assert settings["model"]["kwargs"] == {"token": "***", "dtype": "torch.float32"}
        assert not any(b"aaaa" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    def test_arguments_of_training(self, tmp_path: Path) -> None:
        def settings(**changes: Any) -> dict[str, Any]:
            return training_settings(CurriculumSFTConfig(str(tmp_path), use_cpu=True, bf16=False, **changes))

        plain = settings()
        assert plain == settings(logging_steps=3, save_steps=7, disable_tqdm=True, hub_token="x", run_name="r")
        assert plain != settings(learning_rate=1.0) and plain != settings(eos_token="<x>")


def test_rounds_know_those_before(tmp_path: Path) -> None:
    third = Round(2, tmp_path)
    assert [one.folder("a") for one in third.earlier] == [tmp_path / "round-0/a", tmp_path / "round-1/a"]


def job(folder: Path, tiny_path: str) -> Job:
    args = CurriculumSFTConfig(
        str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_steps=1,
        report_to="none",
        disable_tqdm=True,
        curriculum="uniform",
    )
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    examples = [Candidate(f"{i}:{'abcdef'[i % 6] * 3}#", "gh" * (1 + i % 3)) for i in range(12)]
    return Job(tiny_path, args, lora, examples, [])


@pytest.mark.parametrize("name", ["SelfPlay", "Halves"])
def test_rounds_of_others(name: str, tiny_path: str) -> None:
    """The toy above, and that of docs/add_a_method.md, as the conformance table runs them."""
    scope: dict[str, Any] = {"__name__": "my_package"} | vars(self_play)
    page = (Path(__file__).parents[2] / "docs" / "add_a_method.md").read_text().split("\n## Rounds\n")[1]
    exec(page.split("```python\n", 1)[1].split("```", 1)[0], scope)
    made = RoundsCase(scope[name](), partial(job, tiny_path=tiny_path))
    the_plan_says_how_often(made)
    a_finished_round_is_not_done_again(made)
