"""What a run keeps for its report: texts of drawn rows, each once, exact over a resume, and nothing for the Hub."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
from datasets import Dataset
from harness import sft_trainer, trainer
from report_runs import HOSTILE, history

from trl_curriculum.disk.state import StateError
from trl_curriculum.report.history import read_history
from trl_curriculum.report.kept import FOLDER, RowTexts, read_facts, read_texts


def rows(n: int = 6) -> Dataset:
    return Dataset.from_list([{"prompt": f"question {k}", "answer": str(k), "other": k} for k in range(n)])


class TestTexts:
    def test_each_drawn_row_once(self, tmp_path: Path) -> None:
        texts = RowTexts(tmp_path, rows(), golds=["none", "answer"])
        texts.write(np.array([4, 1, 4]), np.array([0, 1, 2]))
        texts.write(np.array([1, 4]), np.array([3, 4]))
        texts.write(np.array([1, 0]), np.array([5, 6]))
        assert read_texts(tmp_path).to_dict("index") == {
            k: {"prompt": f"question {k}", "gold": str(k)} for k in (1, 4, 0)
        }
        assert len(list((tmp_path / FOLDER).iterdir())) == 2

    def test_a_resume_writes_again_what_came_after_the_checkpoint(self, tmp_path: Path) -> None:
        texts = RowTexts(tmp_path, rows())
        texts.write(np.array([4, 1]), np.array([0, 1]))
        texts.write(np.array([1, 0, 2]), np.array([2, 3, 4]))
        again = RowTexts(tmp_path, rows())
        again.rewind(draws=4)
        assert sorted(read_texts(tmp_path).index) == [0, 1, 4]
        again.write(np.array([4, 2]), np.array([4, 5]))
        assert sorted(pd.concat(map(pd.read_parquet, (tmp_path / FOLDER).iterdir()))["row"]) == [0, 1, 2, 4]

    def test_where_data_changed_the_texts_are_those_of_the_new(self, tmp_path: Path) -> None:
        RowTexts(tmp_path, rows()).write(np.array([4, 1]), np.array([0, 1]))
        again = RowTexts(tmp_path, rows().map(lambda row: {"prompt": f"new {row['other']}"}))
        again.rewind(draws=2, changed=True)
        again.write(np.array([4]), np.array([2]))
        again.rewind(draws=3)
        again.write(np.array([4, 1]), np.array([3, 4]))
        assert read_texts(tmp_path)["prompt"].to_dict() == {4: "new 4", 1: "new 1"}

    def test_a_run_that_starts_over_moves_them_out_of_the_way(self, tmp_path: Path) -> None:
        texts = RowTexts(tmp_path, rows())
        texts.write(np.array([4]), np.array([0]))
        texts.start_over()
        texts.write(np.array([4]), np.array([0]))
        assert [len([*tmp_path.glob(f"{FOLDER}{end}/texts-*")]) for end in ("", ".1")] == [1, 1]

    @pytest.mark.parametrize(
        ("row", "prompt", "gold"),
        [
            ({"prompt": [{"role": "user", "content": "a"}], "answer": 3}, "user: a", "3"),
            ({"prompt": "a", "completion": "b"}, "a", "b"),
            (
                {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
                "user: a",
                "b",
            ),
            ({"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}, "user: a", "b"),
            ({"text": "whole"}, "whole", ""),
            ({"messages": [{"role": "nobody", "content": "a"}]}, "", ""),
            ({"prompt": "my token is hf_abcdefghijklmnopqrstuvwxyz"}, "my token is ***", ""),
            ({"prompt": "x" * 999 + "?"}, "x" * 297 + " … " + "x" * 299 + "?", ""),
            ({"other": 1}, None, None),
        ],
    )
    def test_formats(self, tmp_path: Path, row: dict[str, Any], prompt: str | None, gold: str | None) -> None:
        RowTexts(tmp_path, Dataset.from_list([row]), ["answer"], ["text"]).write(np.array([0]), np.array([0]))
        assert read_texts(tmp_path).to_dict("records") == (
            [] if prompt is None else [{"prompt": prompt, "gold": gold}]
        )

    def test_the_users_transforms_are_not_called(self, tmp_path: Path) -> None:
        """They may draw random numbers, which would be others in a run that is resumed."""

        def refused(batch: Any) -> Any:
            raise AssertionError("a transform was called")

        RowTexts(tmp_path, rows().with_transform(refused)).write(np.array([0]), np.array([0]))
        assert read_texts(tmp_path)["prompt"].tolist() == ["question 0"]

    @pytest.mark.parametrize("how", ["cut", "foreign", "negative"])
    def test_a_file_that_cannot_be_read_is_refused(self, tmp_path: Path, how: str) -> None:
        RowTexts(tmp_path, rows()).write(np.array([0]), np.array([0]))
        file = next((tmp_path / FOLDER).iterdir())
        if how == "cut":
            file.write_bytes(file.read_bytes()[:50])
        else:
            frame = pd.read_parquet(file)
            (frame.rename(columns={"gold": "x"}) if how == "foreign" else frame.assign(row=-1)).to_parquet(file)
        with pytest.raises(StateError, match=rf"{file.name} .*move it elsewhere; a report then has no texts"):
            read_texts(tmp_path)


@pytest.mark.parametrize("made", ["", "[1]", "{", "{}"])
def test_facts_that_nobody_here_wrote_are_none(tmp_path: Path, made: str) -> None:
    assert read_facts(tmp_path) == {}
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "run.json").write_text(made)
    assert read_facts(tmp_path) == {}


class TestRuns:
    def test_a_run_keeps_facts_and_the_texts_of_what_it_drew(self, tiny_runs: Path) -> None:
        for name in ("grpo", "sft"):
            texts, drawn = read_texts(tiny_runs / name), set(read_history(tiny_runs / name)["row"])
            assert set(texts.index) == drawn
            data = tiny.dataset() if name == "grpo" else tiny.sft_dataset()
            assert texts["prompt"].to_dict() == {row: data[row]["prompt"] for row in texts.index}
            golds = [f"{row['letter']} {HOSTILE}" for row in data] if name == "grpo" else data["completion"]
            assert texts["gold"].to_dict() == {row: golds[row] for row in texts.index}
        facts = read_facts(tiny_runs / "grpo")
        assert facts["trainer"] == "GRPO" and facts["rows"] == 40 and facts["generations"] == 4
        assert facts["methods"][0]["name"] == "sec" and facts["methods"][0]["options"]["tau"] == 0.3
        assert sorted(facts["arms"].values()) == [10] * 4

    def test_a_resumed_run_keeps_what_an_uninterrupted_one_does(self, tmp_path: Path) -> None:
        options: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        whole = trainer(tmp_path / "whole", **options)
        whole.train()
        shutil.copytree(tmp_path / "whole", tmp_path / "cut", ignore=shutil.ignore_patterns("checkpoint-4"))
        cut = trainer(tmp_path / "cut", **options)
        cut.train(resume_from_checkpoint=True)
        assert read_texts(tmp_path / "cut").equals(read_texts(tmp_path / "whole"))
        assert cut.history().equals(whole.history())

    def test_the_hub_gets_none_of_it(self, tiny_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        run = sft_trainer(tmp_path, max_steps=1, hub_model_id="somebody/model")
        run.train()
        sent: list[str] = []

        def commit(api: Any, repo_id: str, files: Any, *rest: Any, **more: Any) -> None:
            sent.extend(one.path for one in files)

        monkeypatch.setattr("trl_curriculum.trainers.pushing.commit", commit)
        run.hub_model_id, run.push_in_progress = "somebody/model", None
        run.push_to_hub()
        files = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()]
        assert any(FOLDER in file for file in files) and not any(FOLDER in file for file in sent)
        assert any("curriculum_history" in file for file in sent)


class TestTruncated:
    def test_the_share_is_that_of_trls_own_metric(self, tiny_runs: Path) -> None:
        state = json.loads((tiny_runs / "grpo/checkpoint-15/trainer_state.json").read_text())
        logged = [one["completions/clipped_ratio"] for one in state["log_history"]]
        shares = read_history(tiny_runs / "grpo").groupby("step")["truncated"].mean()
        assert shares.tolist() == pytest.approx(logged) and 0 < min(logged) < max(logged)

    def test_histories_without_the_column_are_read(self, tmp_path: Path) -> None:
        frame = history(tmp_path, reward=[0.0, 1.0])
        file = next((tmp_path / "curriculum_history").iterdir())
        frame.drop(columns="truncated").to_parquet(file, index=False)
        assert read_history(tmp_path)["truncated"].isna().all()
        history(tmp_path, file=1, reward=[1.0], draw=[2], truncated=[0.25])
        assert read_history(tmp_path)["truncated"].tolist() == pytest.approx([np.nan, np.nan, 0.25], nan_ok=True)
