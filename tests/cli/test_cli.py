import json
from pathlib import Path

import pytest
import yaml
from datasets import Dataset
from trl import DatasetMixtureConfig

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig, available_curricula
from trl_curriculum.cli import COMMANDS, main, recipe
from trl_curriculum.rewards import multiple_choice_accuracy
from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.scripts.data import load_examples, load_prompts, with_difficulty


RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("argv", [[], ["--help"]])
def test_help_lists_the_commands(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert main(argv) == 0
    except SystemExit as end:
        assert end.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


def test_unknown_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metods"]) == 2
    assert "unknown command 'metods' (did you mean 'methods'?)" in capsys.readouterr().err


def test_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    assert "2505.14970" in capsys.readouterr().out
    assert main(["methods", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == sorted(available_curricula())
    assert all(set(row) == {"name", "trainer", "signal", "cost", "paper"} and all(row.values()) for row in rows)
    trainer = {row["name"]: row["trainer"] for row in rows}
    assert (trainer["uniform"], trainer["sec"], trainer["evo_curate"]) == ("GRPO, SFT", "GRPO", "SFT")
    assert (trainer["edco"], trainer["ucb1"]) == ("GRPO, SFT", "GRPO")


def config(folder: Path, recipe: str = "grpo/cpu/sec_math.yaml", **keys: object) -> list[str]:
    path = folder / "config.yaml"
    values = yaml.safe_load((RECIPES / recipe).read_text()) | keys
    path.write_text(yaml.safe_dump(values))
    return ["--config", str(path)]


@pytest.mark.parametrize(
    ("keys", "argv", "message"),
    [
        ({"arm_colum": "level"}, [], "Unknown argument 'arm_colum' in the config file (did you mean 'arm_column'?)"),
        ({}, ["--num_procs", "2"], "Unknown argument 'num_procs' on the command line"),
        ({"curriculum": "secc"}, [], "Unknown curriculum 'secc'"),
        ({"curriculum_kwargs": {"taw": 1.0}}, [], "'taw'"),
        ({"arm_column": ["levle"]}, [], "'levle'"),
        ({"reward_funcs": ["math_acuracy"]}, [], "did you mean 'math_accuracy'?"),
        ({"reward_funcs": None}, [], "No reward"),
        ({"tasks": [{"family": "countdown", "size": 1}]}, [], "exactly one of `tasks`, `datasets` and `dataset_name`"),
        ({"dataset_streaming": True}, [], "drop `dataset_streaming`"),
        ({"dataset_train_split": "tran"}, [], "no split 'tran'"),
        ({"prompt_column": "question"}, [], "no column 'question'"),
        ({"arm_column": None}, [], "`eval_per_arm` needs `arm_column`"),
        ({"options_column": "choices"}, [], "no column 'choices', only"),
        ({"options_column": "subject"}, [], "Row 0: `options_column` appends options to plain questions"),
        ({"right_option_column": "answer"}, [], "set options_column to the column that holds them"),
        ({"difficulty_from": "lenght"}, [], "difficulty_from='lenght' is neither 'length' nor 'answer_length'"),
        ({"difficulty_from": "length"}, [], "difficulty_column='level' both say what is difficult: drop one"),
        (
            {"difficulty_from": "answer_length", "difficulty_column": None},
            [],
            "the rows have none: set answer_column",
        ),
        ({"answer_column": "anser"}, [], "answer_column 'anser' (did you mean 'answer'?) is not a column"),
        (
            {"curriculum": "edco", "curriculum_kwargs": {"score_by": "loss"}},
            [],
            "set answer_column to the column with reference answers",
        ),
        ({"curriculum": "edco", "curriculum_kwargs": None, "probe_kwargs": {"lenght": 3}}, [], "no option 'lenght'"),
    ],
)
def test_mistakes_are_one_sentence(
    keys: dict[str, object], argv: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["grpo", *config(tmp_path, **keys), "--dry_run", *argv]) == 1
    error = capsys.readouterr().err
    assert "trl-curriculum grpo: " in error
    assert message in error


SFT = "sft/cpu/evo_curate_magicoder_packed.yaml"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"completion_colum": "answer"}, "Unknown argument 'completion_colum' in the config file (did you mean"),
        ({"curriculum": "sec", "curriculum_kwargs": None}, "'sec' as it is set up follows the advantage"),
        ({"curriculum_kwargs": {"kapa": 0.5}}, "'kapa'"),
        ({"arm_column": ["famly"]}, "'famly'"),
        ({"packing_strategy": "wrapped"}, "packing_strategy='wrapped' cuts rows into pieces"),
        ({"eval_per_arm": True, "arm_column": None}, "`eval_per_arm` needs `arm_column`"),
        ({"tasks": None}, "exactly one of `tasks`, `datasets` and `dataset_name`"),
    ],
)
def test_mistakes_in_sft(
    keys: dict[str, object], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = config(tmp_path, SFT, **keys)
    assert main(["sft", *argv, "--dry_run", "--task_size", "1"]) == 1
    error = capsys.readouterr().err
    assert "trl-curriculum sft: " in error
    assert message in error


def test_flags_turn_a_curriculum_into_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*config(tmp_path, SFT), "--dry_run", "--task_size", "1"]
    assert main(["sft", *argv, "--curriculum", "uniform", "--curriculum_kwargs", "{}"]) == 0
    assert "curriculum  uniform ()" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "name"), [("grpo", "grpo/cpu/sec_math.yaml"), ("sft", "sft/cpu/competence_math.yaml")]
)
def test_launch_options_go_to_accelerate(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple] = []
    monkeypatch.setattr(recipe, "launch", lambda *args: calls.append(args))
    argv = config(tmp_path, name, num_processes=8, accelerate_config="zero2")
    argv += ["--num_processes", "4", "--max_steps", "2"]
    assert main([command, *argv]) == 0
    ((script, launch_args, script_args),) = calls
    assert Path(script) == RECIPES / f"{command}.py"
    given = dict(zip(launch_args.from_config[::2], launch_args.from_config[1::2], strict=True))
    assert given == {"--accelerate_config": "zero2", "--num_processes": "8", "--num_cpu_threads_per_process": "2"}
    assert launch_args.num_processes == 4
    assert script_args == [*argv[:2], "--max_steps", "2"]


def test_the_command_trains(tiny_path: str, tmp_path: Path) -> None:
    sizes = {"max_steps": 1, "per_device_train_batch_size": 1, "num_generations": 2, "max_completion_length": 16}
    argv = config(tmp_path, **sizes, eval_strategy="no", instruction=" ", output_dir=str(tmp_path / "out"))
    assert main(["grpo", *argv, "--model_name_or_path", tiny_path]) == 0
    assert (tmp_path / "out" / "model.safetensors").exists()


# Multiple choice


def rows(folder: Path, *lines: dict[str, object]) -> str:
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return str(folder)


@pytest.mark.parametrize(
    ("options", "right", "shown", "letter", "text"),
    [
        ({"A": "one", "B": "two"}, "B", "A. one\nB. two", "B", "two"),  # MedQA
        (["one", "two", "three"], 2, "A. one\nB. two\nC. three", "C", "three"),  # CaseHOLD
        (["one", "two"], "one", "A. one\nB. two", "A", "one"),
        ({"text": ["one", "two"], "label": ["A", "B"]}, "B", "A. one\nB. two", "B", "two"),  # OpenBookQA
        ({"text": ["one", "two"], "label": ["1", "2"]}, "1", "A. one\nB. two", "A", "one"),  # some rows of ARC
    ],
)
def test_options_are_appended(
    options: object, right: object, shown: str, letter: str, text: str, tmp_path: Path
) -> None:
    name = rows(tmp_path, {"q": "Which?", "options": options, "right": right})
    columns = {"prompt_column": "q", "options_column": "options", "right_option_column": "right"}
    args = CurriculumScriptArguments(dataset_name=name, instruction="Answer.", **columns)
    row = load_prompts(args, DatasetMixtureConfig(), 0)[0][0]
    assert row["prompt"] == [{"role": "user", "content": f"Which?\n\n{shown}\n\nAnswer."}]
    assert (row["right_letter"], row["right_text"]) == (letter, text)
    example = load_examples(args, DatasetMixtureConfig(), 0, "right_text")[0][0]
    assert example["prompt"] == row["prompt"]
    assert example["completion"] == [{"role": "assistant", "content": text}]


def test_a_context_stands_before_its_question(tmp_path: Path) -> None:
    name = rows(tmp_path, {"query": "Which?", "context": "All are.", "options": ["one", "two"], "correct_option": 1})
    columns = {"prompt_column": "query", "context_column": "context", "options_column": "options"}
    args = CurriculumScriptArguments(
        dataset_name=name, instruction="", right_option_column="correct_option", **columns
    )
    row = load_prompts(args, DatasetMixtureConfig(), 0)[0][0]
    assert row["prompt"][0]["content"] == "All are.\n\nWhich?\n\nA. one\nB. two" and row["right_letter"] == "B"


def test_options_that_some_rows_lack_are_not_shown(tmp_path: Path) -> None:
    lines = [{"q": "Which?", "options": dict.fromkeys(letters, "x"), "right": "A"} for letters in ("AB", "ABC")]
    columns = {"prompt_column": "q", "options_column": "options", "right_option_column": "right"}
    args = CurriculumScriptArguments(dataset_name=rows(tmp_path, *lines), instruction="", **columns)
    made = load_prompts(args, DatasetMixtureConfig(), 0)[0]
    assert [row["prompt"][0]["content"].count(". x") for row in made] == [2, 3]


def test_a_right_option_that_is_none_is_an_error(tmp_path: Path) -> None:
    name = rows(tmp_path, {"q": "Which?", "options": ["one", "two"], "right": 2})
    args = CurriculumScriptArguments(
        dataset_name=name, prompt_column="q", options_column="options", right_option_column="right"
    )
    with pytest.raises(ValueError, match="Row 0: 'right' holds 2, which is neither the label nor the position"):
        load_prompts(args, DatasetMixtureConfig(), 0)


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        (r"So \boxed{B}", 1),
        (r"\boxed{\text{(b)}}", 1),
        ("Because of this.\nFinal answer: B.", 1),
        ("**B**", 1),
        ("B. 12 mg", 1),
        ("12 mg", 1),
        (r"\boxed{A}", 0),
        (r"\boxed{A, B}", 0),
        ("B or C", 0),
        ("(A) (B) (C) (D)", 0),
        ("B. 13 mg", 0),
        ("B vitamins", 0),
        ("", 0),
    ],
)
def test_multiple_choice_accuracy(answer: str, reward: float) -> None:
    for completion in (answer, [{"role": "assistant", "content": answer}]):
        got = multiple_choice_accuracy([completion], right_letter=["B"], right_text=["12 mg"])  # type: ignore[list-item]
        assert got == [reward]
    assert multiple_choice_accuracy([answer], right_letter=[None]) == [None]


def test_multiple_choice_needs_the_right_letters() -> None:
    with pytest.raises(ValueError, match="set `options_column` and `right_option_column`"):
        multiple_choice_accuracy(["A"])


# Difficulties from the rows


@pytest.mark.parametrize(
    ("what", "row", "words"),
    [
        ("length", {"prompt": "one two  three\nfour"}, 4),
        ("length", {"prompt": [{"role": "user", "content": "one two"}], "completion": "x y z"}, 2),
        ("length", {"messages": [{"role": "user", "content": "a b c"}, {"role": "assistant", "content": "d"}]}, 3),
        ("answer_length", {"prompt": "x", "completion": [{"role": "assistant", "content": "a b c"}]}, 3),
        (
            "answer_length",
            {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]},
            2,
        ),
    ],
)
def test_words_are_counted(what: str, row: dict[str, object], words: int) -> None:
    training_args = CurriculumSFTConfig("out", use_cpu=True, bf16=False)
    made = with_difficulty(Dataset.from_list([row]), CurriculumScriptArguments(difficulty_from=what), training_args)
    assert made[training_args.difficulty_column] == [words]


def test_the_answer_column_is_counted() -> None:
    training_args = CurriculumGRPOConfig("out", use_cpu=True, bf16=False, answer_column="gold")
    dataset = Dataset.from_list([{"prompt": "x", "gold": "a b"}, {"prompt": "x", "gold": "a"}])
    made = with_difficulty(dataset, CurriculumScriptArguments(difficulty_from="answer_length"), training_args)
    assert made[training_args.difficulty_column] == [2, 1]


# EDCO's baselines, as docs/methods.md has them


ORDER = ("--curriculum", "order", "--curriculum_kwargs")


@pytest.mark.parametrize(
    ("argv", "curriculum", "probe"),
    [
        ((), "edco (rounds=5, top_n=4", "5 rounds x 24 rows x 16 tokens = at most 1,920 tokens, transformers"),
        (
            ("--probe_kwargs", '{"length": 4, "samples": 2, "temperature": 1.0}'),
            "edco",
            "5 rounds x 24 rows x 4 tokens x 2 samples = at most 960 tokens, transformers",
        ),
        (
            ("--curriculum_kwargs", '{"reprobe": "uncertain", "budget": 0.1}'),
            "budget=0.1",
            "while it takes at most 0.1 x the tokens trained on, each time at most 24 rows x 16 tokens = at most 384",
        ),
        (("--curriculum_kwargs", '{"score_by": "random"}'), "score_by=random", None),
        (
            ("--curriculum_kwargs", '{"score_by": "loss"}'),
            "score_by=loss",
            "5 rounds x 24 rows, one forward over each",
        ),
        (
            (
                "--curriculum",
                "order",
                "--curriculum_kwargs",
                '{"mode": "hard_to_easy"}',
                "--difficulty_from",
                "length",
            ),
            "order (mode=hard_to_easy",
            None,
        ),
        (
            (*ORDER, '{"mode": "hard_to_easy"}', "--difficulty_from", "answer_length"),
            "order (mode=hard_to_easy",
            None,
        ),
        (
            (*ORDER, '{"mode": "hard_to_easy", "difficulty": "probe"}'),
            "difficulty=probe",
            None,
        ),
        (("--curriculum", "ucb1", "--curriculum_kwargs", "{}"), "ucb1 (round_batches=20, levels=3, c=1.0)", None),
        (("--curriculum", "uniform", "--curriculum_kwargs", "{}"), "uniform ()", None),
    ],
)
def test_edco_and_its_baselines_are_planned(
    argv: tuple[str, ...], curriculum: str, probe: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(RECIPES / "grpo/cpu/edco_medqa_qwen3_4b.yaml")
    assert main(["grpo", "--config", config, "--dry_run", *argv]) == 0
    plan = capsys.readouterr().out
    assert curriculum in next(line for line in plan.splitlines() if line.startswith("curriculum"))
    lines = [line for line in plan.splitlines() if line.startswith("probe")]
    assert len(lines) == (probe is not None)
    assert probe is None or probe in lines[0]


def test_ucb1_plays_terciles_of_a_difficulty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", str(RECIPES / "grpo/cpu/edco_law_llama3_3b.yaml"), "--dry_run", "--curriculum", "ucb1"]
    assert main(["grpo", *argv, "--curriculum_kwargs", "{}"]) == 1
    assert "set arm_column, or difficulty_column to be cut into arms" in capsys.readouterr().err
    assert main(["grpo", *argv, "--curriculum_kwargs", "{}", "--difficulty_from", "length"]) == 0
    assert "ucb1 (round_batches=20, levels=3, c=1.0)" in capsys.readouterr().out
