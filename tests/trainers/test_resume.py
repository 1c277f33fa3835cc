"""A resumed run is the run that was never interrupted: same draws, same feedback, same weights, bit for bit."""

import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from harness import trainer, weights

from trl_curriculum.disk.checkpoint import newest_first, what_is_missing
from trl_curriculum.disk.state import StateError
from trl_curriculum.report.history import FOLDER as HISTORY


WINDOWS: dict[str, dict[str, Any]] = {
    "one window a step": {"gradient_accumulation_steps": 2},
    "two steps a window": {"gradient_accumulation_steps": 2, "steps_per_generation": 4},
    "two iterations": {"gradient_accumulation_steps": 2, "steps_per_generation": 2, "num_iterations": 2},
    "six steps a window": {"steps_per_generation": 3, "num_iterations": 2},
    "estimated arms": {"arms": {"success_rate": {"bins": 3, "every": 2}}},
    "dump": {"curriculum": "dump", "per_device_train_batch_size": 8},
    "weights of rows": {"curriculum": {"cures": {"tau": 0.05}}, "gradient_accumulation_steps": 2},
    "placebo": {"curriculum": {"placebo": {"of": {"sec": {"tau": 0.2}}}}},
}


def run(folder: Path, resume: Any = None, **changes: Any) -> Any:
    options = {"max_steps": 8, "save_strategy": "steps", "save_steps": 1, "per_device_train_batch_size": 8}
    run = trainer(folder, **(options | changes))
    run.train(resume_from_checkpoint=resume)
    return run


@pytest.mark.parametrize("window", WINDOWS)
def test_exact_at_every_checkpoint(tmp_path: Path, window: str) -> None:
    whole = run(tmp_path / "whole", max_steps=7, **WINDOWS[window])
    assert len(whole.history()) > 2
    start = torch.cat([p.flatten() for p in tiny.model().parameters()])
    assert not torch.equal(weights(whole), start)
    for step in range(1, 7):
        shutil.copytree(tmp_path / "whole" / HISTORY, tmp_path / "cut" / HISTORY)
        checkpoint = str(tmp_path / "whole" / f"checkpoint-{step}")
        resumed = run(tmp_path / "cut", checkpoint, max_steps=7, save_strategy="no", **WINDOWS[window])
        assert torch.equal(weights(resumed), weights(whole)), f"weights differ after a resume from step {step}"
        assert resumed.history().equals(whole.history()), f"draws differ after a resume from step {step}"
        assert resumed.curriculum.metrics() == whole.curriculum.metrics()
        shutil.rmtree(tmp_path / "cut")


def test_without_the_curriculum_state_a_resume_differs(tmp_path: Path) -> None:
    """The test above can fail: a resume that forgets what was drawn draws something else."""
    whole = run(tmp_path)
    again = trainer(tmp_path, max_steps=8, per_device_train_batch_size=8)
    again.curriculum.load_state_dict = lambda *args, **kwargs: None
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    assert not torch.equal(weights(again), weights(whole))


def test_a_run_that_had_ended_does_not_go_on(tmp_path: Path) -> None:
    """Stock TRL makes one step more."""
    whole = run(tmp_path, max_steps=3)
    again = run(tmp_path, True, max_steps=3)
    assert again.state.global_step == 3 and torch.equal(weights(again), weights(whole))
    assert again.history().equals(whole.history())


class TestIncompleteCheckpoints:
    @pytest.mark.parametrize(
        "damage",
        [
            *("trainer_state.json", "curriculum", "rng_state.pth", "cut state", "optimizer.pt", "model.safetensors"),
            *("a bit of trainer_state.json", "a bit of optimizer.pt", "a bit of model.safetensors"),
        ],
    )
    def test_a_folder_that_was_not_saved_completely_is_skipped(
        self, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        whole = run(tmp_path, max_steps=4)
        newest = tmp_path / "checkpoint-4"
        if damage == "cut state":
            (newest / "trainer_state.json").write_text('{"epoch": 0.1, "glob')
        elif damage == "curriculum":
            shutil.rmtree(newest / damage)
        elif damage.startswith("a bit of "):
            file = newest / damage.removeprefix("a bit of ")
            content = bytearray(file.read_bytes())
            content[len(content) // 2] ^= 1
            file.write_bytes(content)
        else:
            (newest / damage).unlink()
        with pytest.raises(StateError, match="checkpoint-4 cannot be resumed from"):
            run(tmp_path, str(newest), max_steps=4)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            resumed = run(tmp_path, True, max_steps=4)
        assert f"Skipping {newest}, which is incomplete: " in caplog.text and ".." not in caplog.text
        assert torch.equal(weights(resumed), weights(whole))

    def test_no_complete_checkpoint(self, tmp_path: Path) -> None:
        with pytest.raises(StateError, match="No complete checkpoint to resume from"):
            run(tmp_path, True)

    def test_saving_again_does_not_pass_for_whole_before_it_is(self, tmp_path: Path) -> None:
        run(tmp_path, max_steps=2)
        again = trainer(tmp_path, max_steps=2, save_strategy="steps", save_steps=1)
        again.conductor.curriculum.drawn = 1  # its own folder: a second train()
        again.save_model = lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt)
        with pytest.raises(KeyboardInterrupt):
            again.train()
        assert what_is_missing(tmp_path / "checkpoint-1") == "trainer_state.json is missing or cut off"
        assert what_is_missing(tmp_path / "checkpoint-2") is None

    def test_old_checkpoints_are_deleted_and_the_last_is_whole(self, tmp_path: Path) -> None:
        run(tmp_path, max_steps=4, save_total_limit=1)
        assert newest_first(tmp_path) == [tmp_path / "checkpoint-4"]
        assert what_is_missing(tmp_path / "checkpoint-4") is None


class TestOtherSettings:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"curriculum": "dump"},
                "curriculum 'sec', but this run uses 'dump'",
            ),
            ({"curriculum": {"sec": {"tau": 0.5}}}, "made with tau=0.3, but this run has tau=0.5"),
            ({"arms": ["kind"]}, "The dataset changed .* arms a, b, c, d before"),
        ],
    )
    def test_another_method_option_or_arms_are_refused(self, tmp_path: Path, changes: dict, words: str) -> None:
        run(tmp_path, max_steps=2)
        with pytest.raises(StateError, match=words):
            run(tmp_path, True, **changes)

    def test_a_changed_dataset_is_refused_or_carried_over(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = run(tmp_path, max_steps=3)
        drawn = set(first.history()["row"])
        other = tiny.dataset(52).select(range(4, 52))  # 4 rows lost, 12 new; positions all shift
        with pytest.raises(StateError, match="36 rows kept, 12 new, 4 lost"):
            run(tmp_path, True, train_dataset=other)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            second = run(tmp_path, True, train_dataset=other, on_data_change="carry_over", max_steps=6)
        assert "Resuming on changed data: 36 rows kept, 12 new, 4 lost" in caplog.text
        later = second.history().query("draw >= 6")["row"] + 4  # in the old positions
        assert len(later) == 6 and not drawn & set(later)  # what was drawn waits for the next pass
        np.testing.assert_array_equal(second.curriculum.belief().count.sum(), 12 * 4)

    @pytest.mark.parametrize("changes", [{"arms": ["twin"]}, {"difficulty_column": "index"}])
    def test_other_arms_of_the_same_names_or_other_difficulties_are_refused(
        self, tmp_path: Path, changes: Any
    ) -> None:
        data = tiny.dataset().map(lambda row: {"twin": "abcd"[(row["index"] // 2) % 4]})
        run(tmp_path, max_steps=2, train_dataset=data)
        with pytest.raises(StateError, match="their arms or difficulties are not"):
            run(tmp_path, True, train_dataset=data, **changes)

    @pytest.mark.parametrize("word", ["true", "True", "auto"])
    def test_words_as_a_command_line_gives_them(self, tmp_path: Path, word: str) -> None:
        run(tmp_path, max_steps=2)
        again = run(tmp_path, word, max_steps=3, save_strategy="no")
        assert again.history()["step"].tolist() == [0, 0, 1, 1, 2, 2] and again.state.global_step == 3
        assert not (tmp_path / "curriculum_history.1").exists()

    def test_an_earlier_run_is_decided_about(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        run(tmp_path, max_steps=3)
        for asked in (None, False, "false"):
            with pytest.raises(
                ValueError, match=r"holds an earlier run \(checkpoint-3, curriculum_history\): set resume"
            ):
                run(tmp_path, asked, max_steps=2)
        with pytest.raises(ValueError, match="leave one of them out"):
            run(tmp_path, "auto", overwrite_output_dir=True)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            again = run(tmp_path, max_steps=2, overwrite_output_dir=True)
        assert "is moved to curriculum_history.1" in caplog.text
        assert [path.name for path in newest_first(tmp_path)] == ["checkpoint-2", "checkpoint-1"]
        again.train()  # its own run: not an earlier one

    def test_checkpoints_of_weights_alone_are_no_way_back(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(ValueError, match=r"save_only_model=True leaves out: leave one of them out"):
            run(tmp_path, "auto", save_only_model=True)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            run(tmp_path, max_steps=1, save_only_model=True)
        assert "no checkpoint of this run can be resumed from" in caplog.text
        with pytest.raises(StateError, match=r"optimizer.pt is missing \(save_only_model=True leaves it out\)"):
            run(tmp_path, str(tmp_path / "checkpoint-1"))

    def test_checkpoints_of_somebody_else_stay(self, tmp_path: Path) -> None:
        (tmp_path / "checkpoint-7").mkdir()
        (tmp_path / "checkpoint-7/model.safetensors").write_text("mine")
        with pytest.raises(ValueError, match="holds an earlier run"):
            run(tmp_path)
        with pytest.raises(ValueError, match="holds checkpoint-7, which this package has not written"):
            run(tmp_path, overwrite_output_dir=True)
        assert (tmp_path / "checkpoint-7/model.safetensors").read_text() == "mine"

    def test_auto_after_a_kill_before_the_first_checkpoint_begins(self, tmp_path: Path) -> None:
        run(tmp_path, max_steps=2, save_strategy="no")
        (tmp_path / "checkpoint-3/curriculum").mkdir(parents=True)
        begun = run(tmp_path, "auto", max_steps=2)
        assert len(begun.history()) == 4 and (tmp_path / "curriculum_history.1").exists()

    def test_a_history_that_is_gone_is_said(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        run(tmp_path, max_steps=3)
        shutil.rmtree(tmp_path / "curriculum_history")
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            run(tmp_path, True, max_steps=4)
        assert "holds 0 of the 6 draws before the checkpoint" in caplog.text

    @pytest.mark.parametrize("how", ["cut", "empty", "foreign"])
    def test_a_history_that_cannot_be_read_is_refused(self, tmp_path: Path, how: str) -> None:
        run(tmp_path, max_steps=3)
        file = next((tmp_path / "curriculum_history").iterdir())
        if how == "foreign":
            pd.DataFrame({"x": [1]}).to_parquet(file)
        else:
            file.write_bytes(file.read_bytes()[: 100 * (how == "cut")])
        with pytest.raises(
            StateError, match=rf"{file.name} (cannot be read|has no column 'step').*: move it elsewhere"
        ):
            run(tmp_path, True, max_steps=4)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"temperature": 0.5}, "temperature=1.0, and this run has 0.5"),
            ({"learning_rate": 0.5}, "learning_rate=0.001, and this run has 0.5"),
            ({"lr_scheduler_type": "cosine"}, "lr_scheduler_type='linear', and this run has 'cosine'"),
            ({"seed": 7}, "seed=42, and this run has 7"),
            ({"gradient_accumulation_steps": 2}, "rows of a step=8, and this run has 16"),
            ({"reward_funcs": lambda completions, **kwargs: [0.0] * len(completions)}, "reward_funcs="),
        ],
    )
    def test_what_draws_and_tokens_depend_on_is_compared(self, tmp_path: Path, changes: Any, words: str) -> None:
        run(tmp_path, max_steps=1)
        with pytest.raises(
            StateError, match=f"made with .*{words}.*; resume with the same values, or start a new run"
        ):
            run(tmp_path, True, **changes)

    def test_a_longer_run_is_said_and_how_it_logs_does_not_matter(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(tmp_path, max_steps=1)
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            run(tmp_path, True, max_steps=2, logging_steps=2, save_steps=2, run_name="other")
        said = [record.message for record in caplog.records if record.name.startswith("trl_curriculum")]
        assert said == ["The checkpoint was made with max_steps=1, and this run has 2."]

    def test_a_missing_buffer_is_said_and_the_window_generated_anew(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        run(tmp_path, max_steps=3, steps_per_generation=4, per_device_train_batch_size=4)
        (tmp_path / "checkpoint-3" / "generation_buffer_0.safetensors").write_bytes(b"cut")
        with caplog.at_level(logging.WARNING, "trl_curriculum"):
            resumed = run(tmp_path, True, max_steps=4, steps_per_generation=4, per_device_train_batch_size=4)
        assert "The open generation window is generated anew: the rollouts of a process are missing." in caplog.text
        assert len(resumed.history()) == 8

    @pytest.mark.parametrize("changes", [{}, {"num_iterations": 2}])
    def test_another_window_is_refused(self, tmp_path: Path, changes: Any) -> None:
        run(tmp_path, max_steps=3, steps_per_generation=4, per_device_train_batch_size=4)
        with pytest.raises(StateError, match="steps_per_generation=4, and this run has 2"):
            run(tmp_path, True, max_steps=4, steps_per_generation=2, per_device_train_batch_size=4, **changes)
