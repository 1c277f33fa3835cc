"""The evolve script: its plan, a whole run of the tiny model, and mistakes in a recipe."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import command
from processes import recipe_together
from self_play import SelfPlay

from trl_curriculum import read_history
from trl_curriculum.cli import main
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.generators import TEMPLATES, from_dataset, load
from trl_curriculum.rounds import ROUNDS
from trl_curriculum.scripts.data import load_examples
from trl_curriculum.scripts.launch import parse


TWIN = Path(__file__).parents[2] / "recipes/evolve/cpu/evoselect_sums.yaml"


def recipe(tmp_path: Path, tiny_path: str, **changes: Any) -> str:
    prompts = [f"{i}{i % 7}:{'abcdef'[i % 6]}{'fedcba'[i % 5]}#" for i in range(40)]
    rows = [{"prompt": one, "completion": "gh" * (1 + i % 3), "source": "xy"[i % 2]} for i, one in enumerate(prompts)]
    (tmp_path / "pool.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    data = tmp_path / "data"
    data.mkdir()
    for split, n, times in (("train", 12, 3), ("test", 6, 4)):
        lines = [
            json.dumps(
                {
                    "prompt": f"{i}:{'abc'[i % 3] * times}#",
                    "completion": "gh" * (1 + i % 3),
                    "kind": "ab"[i % 2],
                }
            )
            for i in range(n)
        ]
        (data / f"{split}.jsonl").write_text("\n".join(lines))
    made = yaml.safe_load(TWIN.read_text())
    for name in ("tasks", "test_tasks"):
        del made[name]
    made |= {
        "model_name_or_path": tiny_path,
        "dataset_name": str(data),
        "task_column": "kind",
        "candidates": 40,
        "near_duplicates": 1.0,
        "generators": [{"file": {"path": str(tmp_path / "pool.jsonl")}}],
        "selection": "evoselect",
        "keep": 0.3,
        "features": {"dimension": 128},
        "proxy": {"steps": 2},
        "max_steps": 2,
        "num_cpu_threads_per_process": 1,
        "disable_tqdm": True,
        "report_to": "none",
        "output_dir": str(tmp_path / "run"),
    } | changes
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(made))
    return str(tmp_path / "recipe.yaml")


def test_the_twin_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evolve", "--config", str(TWIN), "--dry_run"]) == 0
    words = (
        "2 rounds of 48 candidates, of which evoselect keeps 0.5 (language_model 50%, procedural 25%, procedural 25%)"
    )
    assert words in capsys.readouterr().out


CHOICES = {"text": list("wxyz"), "label": list("ABCD")}
ROWS = {  # with the columns that the datasets have on the Hub
    "allenai/ai2_arc": {"id": "1", "question": "Which?", "choices": CHOICES, "answerKey": "B"},
    "allenai/openbookqa": {"id": "1", "question_stem": "Which?", "choices": CHOICES, "answerKey": "B"},
    "lucasmccabe/logiqa": {"context": "All are.", "query": "Which?", "options": list("wxyz"), "correct_option": 1},
    "GBaker/MedQA-USMLE-4-options": {
        **{"question": "Which?", "answer": "x", "options": dict(zip("ABCD", "wxyz", strict=True)), "answer_idx": "B"},
        **{"meta_info": "step1", "metamap_phrases": ["which"]},
    },
}


@pytest.mark.parametrize("path", sorted(TWIN.parents[1].glob("*.yaml")), ids=lambda path: path.stem)
def test_recipes_are_planned_on_rows_as_on_the_hub(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = yaml.safe_load(path.read_text())
    name = told["dataset_name"]
    assert main(["evolve", "--config", str(path), "--dry_run"]) == 1 and name in capsys.readouterr().err
    for split in ("train", "test"):
        rows = [{**ROWS[name], "id": str(k)} for k in range(8)]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    argv = ["--config", str(path), "--dry_run", "--dataset_name", str(tmp_path), "--trusted", "8"]
    config = [] if "dataset_config" not in told else ["--dataset_config", "default"]
    revision = ["--dataset_revision", ""] if "dataset_revision" in told else []  # the Hub's
    assert main(["evolve", *argv, *config, *revision]) == 0
    shown = capsys.readouterr().out
    assert "2 rounds of 5000 candidates, of which" in shown and "8 trusted examples, 8 held out" in shown
    # What the generator is shown is in its format
    script = load_recipe("evolve")
    arguments = parse(script.make_parser(), [*argv, *config, *revision])
    rows, _ = load_examples(arguments[0], arguments[3], 42, told["completion_column"])
    template = TEMPLATES.make(told["generators"][0]["language_model"]["template"])
    example = from_dataset(rows, None, "completion")[0]
    assert template.render(example).endswith("A. w\nB. x\nC. y\nD. z\nAnswer: B") and example.answer == "B"


def test_a_run(tmp_path: Path, tiny_path: str) -> None:
    done = command(["evolve", "--config", recipe(tmp_path, tiny_path)], tmp_path)
    assert done.code == 0, done.said[-3000:]
    assert (tmp_path / "run/round-1/adapter/adapter_model.safetensors").exists()
    shown = done.out
    for words in ("Loss of the right answers", "before  round 0  round 1", "100%", "12 of 40", "Seconds"):
        assert words in shown


def test_two_processes_go_the_same_way(tmp_path: Path, tiny_path: str) -> None:
    kept, drawn = [], []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        sizes = {"per_device_train_batch_size": 4 // processes, "rounds": 1}
        path = recipe(folder, tiny_path, **sizes)
        if processes == 1:
            assert command(["evolve", "--config", path], folder).code == 0
        else:
            recipe_together("evolve", "--config", path, folder=folder)
        kept.append([row.question for row in load(folder / "run/round-0/selection/selected.parquet")])
        drawn.append(read_history(folder / "run/round-0/adapter")["row"].tolist())
    assert kept[0] == kept[1] and drawn[0] == drawn[1]


def test_a_mistake_that_only_the_run_finds_is_one_line(tmp_path: Path, tiny_path: str) -> None:
    done = command(["evolve", "--config", recipe(tmp_path, tiny_path, candidates=50)], tmp_path)
    assert "evolve.py: 50 rows of" in done.sentence


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generators": []}, "No generators"),
        ({"generators": [{"fil": {"path": "x"}}]}, "Unknown generator 'fil' (did you mean 'file'?)"),
        ({"generators": [{"kind": "file", "path": "x"}]}, "such as {file: {path: rows.jsonl}}"),
        ({"generators": [{"file": {"path": "nowhere.jsonl"}}]}, "There is no file nowhere.jsonl"),
        ({"generators": [{"procedural": {"family": "chain_sum", "share": 0.5}}]}, "1 generators sum to 0.5 "),
        ({"use_peft": False}, "set use_peft"),
        ({"selection": "evoselekt"}, "Unknown selection method 'evoselekt'"),
        ({"selection": {"method": "tsds", "keep": 0.3}}, "`keep`, `distinct` and `features` beside it"),
        ({"selection": {"tsds": {"sigma": -1}}}, "sigma=-1 of tsds must be at least 0"),
        ({"distinct": 1.5}, "distinct=1.5 of evolve must be above 0 and at most 1"),
        ({"keep": 0}, "keep=0 of evolve must be above 0"),
        ({"features": {"dimension": 0}}, "dimension=0 of features must be at least 1"),
        ({"features": {"n_last": 0, "layers": "last"}}, "n_last=0 of features must be at least 1"),
        ({"features": {"layers": "first"}}, "layers='first' in features must be one of 'lora', 'last', 'all'"),
        ({"features": {"projection": "dense"}}, "must be one of 'count_sketch', 'rademacher'"),
        ({"rounds": 0}, "rounds=0 of evolve must be at least 1"),
        ({"loop": "evolv"}, "Unknown rounds 'evolv' (did you mean 'evolve'?)"),
        ({"loop": {"evolve": {"candidate": 3}}}, "has no option 'candidate' (did you mean 'candidates'?)"),
        ({"proxy": {"rank": 0}}, "rank=0 of the proxy must be at least 1"),
        ({"proxy": {"step": 1}}, "proxy has no option 'step'"),
        ({"grpo": {"num_generations": 2}}, "takes both, its options `grpo` and its `reward_funcs`"),
        ({"load_in_4bit": True}, "leave out load_in_4bit"),
        ({"eval_strategy": "steps"}, "leave out eval_strategy"),
        ({"difficulty_from": "length"}, "difficulty_from='length' has no effect on rounds"),
    ],
)
def test_mistakes(
    tmp_path: Path, tiny_path: str, changes: dict[str, Any], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evolve", "--config", recipe(tmp_path, tiny_path, **changes), "--dry_run"]) == 1
    assert words in capsys.readouterr().err


def test_a_generator_on_the_command_line(tmp_path: Path, tiny_path: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ['{"procedural": {"family": "chain_sum", "share": 0.25}}', '{"language_model": {"share": 0.75}}']
    argv = ["evolve", "--config", recipe(tmp_path, tiny_path), "--dry_run", "--generators", *given]
    assert main([*argv, "--selection", '{"tsds": {"sigma": 0.6}}', "--keep", "0.25"]) == 0
    shown = capsys.readouterr().out
    assert "tsds keeps 0.25 (procedural 25%, language_model 75%), for SFT" in shown


class TestOtherRounds:
    """Rounds of another package: self-play, which needs no generators."""

    @pytest.fixture(autouse=True)
    def registered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(ROUNDS.built_in, "self_play", SelfPlay)

    def test_a_run(self, tmp_path: Path, tiny_path: str, capsys: pytest.CaptureFixture[str]) -> None:
        path = recipe(tmp_path, tiny_path, rounds=1)
        argv = parse(load_recipe("evolve").make_parser(), ["--config", path, "--loop", "self_play"])
        changed = {"candidates": 1000, "near_duplicates": 0.7, "generators": None, "selection": "evoselect"}
        changed |= {"keep": 0.2, "features": {}, "proxy": {}, "accuracy": "exact_match", "max_answer_tokens": 256}
        for name, value in changed.items():
            setattr(argv[0], name, value)
        load_recipe("evolve").main(*argv)
        assert (tmp_path / "run/round-0/train/adapter_model.safetensors").exists()
        assert not (tmp_path / "run/round-1").exists() and "1 rounds of self_play, for SFT" in capsys.readouterr().out

    def test_an_argument_of_evolve_is_refused(
        self, tmp_path: Path, tiny_path: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        argv = ["evolve", "--config", recipe(tmp_path, tiny_path), "--loop", "self_play", "--dry_run"]
        assert main(argv) == 1
        assert "candidates=40 is an option of evolve, not of self_play: leave it out" in capsys.readouterr().err
