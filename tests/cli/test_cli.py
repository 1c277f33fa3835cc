import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset
from trl import DatasetMixtureConfig

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.cli import COMMANDS, main, recipe
from trl_curriculum.rewards import multiple_choice_accuracy
from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.scripts.data import load_examples, load_prompts
from trl_curriculum.scripts.difficulty import with_difficulty


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


def config(folder: Path, recipe: str = "grpo/cpu/sec_math.yaml", **keys: object) -> list[str]:
    path = folder / "config.yaml"
    values = yaml.safe_load((RECIPES / recipe).read_text()) | keys
    path.write_text(yaml.safe_dump(values))
    return ["--config", str(path)]


@pytest.mark.parametrize(
    ("keys", "argv", "message"),
    [
        ({"armz": "level"}, [], "Unknown argument 'armz' in the config file (did you mean 'arms'?)"),
        ({}, ["--num_procs", "2"], "Unknown argument 'num_procs' on the command line"),
        ({"curriculum": "secc"}, [], "Unknown curriculum 'secc'"),
        ({"curriculum": {"sec": {"taw": 1.0}}}, [], "Curriculum 'sec' has no option 'taw' (did you mean 'tau'?)"),
        ({"curriculum": {"sec": {"tau": 0.0}}}, [], "tau=0.0 of sec must be above 0"),
        ({"curriculum": {"sec": {}, "dump": {}}}, [], "is not a name, or {name: {option: value}}"),
        ({"arms": ["levle"]}, [], "'levle' (did you mean 'level'?)"),
        ({"arms": {"success_rates": {}}}, [], "Unknown arm source 'success_rates' (did you mean 'success_rate'?)"),
        ({"reward_funcs": ["math_acuracy"]}, [], "did you mean 'math_accuracy'?"),
        ({"reward_funcs": None}, [], "No reward"),
        ({"tasks": [{"family": "countdown", "size": 1}]}, [], "exactly one of `tasks`, `datasets` and `dataset_name`"),
        ({"dataset_streaming": True}, [], "drop `dataset_streaming`"),
        ({"dataset_train_split": "tran"}, [], "no split 'tran'"),
        ({"prompt_column": "question"}, [], "no column 'question'"),
        ({"arms": None}, [], "`eval_per_arm` needs `arms` to be a column that tells the arms apart"),
        ({"arms": {"success_rate": {}}}, [], "`eval_per_arm` needs `arms` to be a column that tells the arms apart"),
        ({"options_column": "choices"}, [], "no column 'choices', only"),
        (
            {"options_column": "subject"},
            [],
            "Row 0 (counted from 0): `options_column` appends options to",
        ),
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
            {"curriculum": {"edco": {"score_by": "loss"}}},
            [],
            "set answer_column to the column with reference answers",
        ),
        ({"curriculum": "edco", "probe": {"prefix_entropy": {"lenght": 3}}}, [], "no option 'lenght'"),
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
        ({"curriculum": "sec"}, "'sec' as it is set up follows the advantage"),
        ({"curriculum": {"evo_curate": {"kapa": 0.5}}}, "has no option 'kapa' (did you mean 'kappa'?)"),
        ({"arms": ["famly"]}, "'famly'"),
        ({"packing_strategy": "wrapped"}, "packing_strategy='wrapped' cuts rows into pieces"),
        ({"eval_per_arm": True, "arms": None}, "`eval_per_arm` needs `arms` to be a column"),
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


MOVED = {  # what was spelled otherwise, and the sentence that says how now
    "curriculum_kwargs": "`curriculum: {name: {option: value}}`",
    "arm_column": "`arms: column`",
    "probe_kwargs": "`probe: {prefix_entropy: {option: value}}`",
    "probe_back_end": "`probe: {prefix_entropy: {back_end: name}}`",
    "probe_vllm_kwargs": "`probe: {prefix_entropy: {back_end_options: {option: value}}}`",
    "probe_batch_tokens": "`probe: {name: {batch_tokens: number}}`",
}


@pytest.mark.parametrize("name", MOVED)
@pytest.mark.parametrize(
    ("command", "recipe"), [("grpo", "grpo/cpu/sec_math.yaml"), ("sft", "sft/cpu/competence_math.yaml")]
)
def test_an_earlier_spelling_is_told_the_new_one(
    command: str, recipe: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    value: Any = {"tau": 0.2} if name.endswith("kwargs") else "level"
    assert main([command, *config(tmp_path, recipe, **{name: value}), "--dry_run"]) == 1
    assert f"{name}, in the config file, is now spelled {MOVED[name]}." in capsys.readouterr().err
    given = json.dumps(value) if isinstance(value, dict) else value
    assert main([command, *config(tmp_path, recipe), "--dry_run", f"--{name}", given]) == 1
    assert f"{name}, on the command line, is now spelled {MOVED[name]}." in capsys.readouterr().err
    kind = CurriculumGRPOConfig if command == "grpo" else CurriculumSFTConfig
    with pytest.raises(TypeError, match=re.escape(f"{name} is now spelled {MOVED[name]}.")):
        kind("out", **{name: value})


@pytest.mark.parametrize("field", ["curriculum", "arms", "probe", "rollouts", "shaping"])
@pytest.mark.parametrize("command", ["grpo", "sft"])
def test_help_names_the_methods(command: str, field: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    help = re.search(rf" --{field} \S.*?(?= --\w)", text[text.index("Added by trl_curriculum:") :])
    assert help is not None
    names = {
        "curriculum": ["uniform", "sec", "evo_curate"],
        "arms": ["clusters", "success_rate"],
        "probe": ["loss", "prefix_entropy"],
        "rollouts": ["refill"],
        "shaping": ["clip_cov", "entropy_sft"],
    }
    for name in names[field]:
        assert re.search(rf"\b{name}\b", help[0]), help[0]
    assert len(help[0]) < 450


def test_a_flag_turns_a_curriculum_into_its_baseline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*config(tmp_path, SFT), "--dry_run", "--task_size", "1"]
    assert main(["sft", *argv, "--curriculum", "uniform"]) == 0
    told = capsys.readouterr()
    assert "curriculum  uniform ()" in told.out
    gone = "its options (measure, probe_share, refresh_steps, variability) go.\n"
    assert f"--curriculum uniform replaces evo_curate of {argv[1]}: {gone}" in told.err


SEC = "grpo/cpu/sec_math.yaml"


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        (["--curriculum", "uniform"], "--curriculum uniform replaces sec of {file}: its options (tau) go."),
        (["--curriculum=dump"], "--curriculum dump replaces sec of {file}: its options (tau) go."),
        (
            ["--curriculum", '{"dump": {"tau": 0.3}}'],
            '--curriculum {{"dump": {{"tau": 0.3}}}} replaces sec of {file}: its options (tau) go.',
        ),
        (["--curriculum", "sec"], "--curriculum sec replaces sec of {file}: its options (tau) go."),
        (["--curriculum", '{"sec": {"alpha": 0.2}}'], "replaces sec of {file}: its options (tau) go."),
        (["--curriculum", '{"sec": {"tau": 0.2}}'], None),
        (["--max_steps", "3"], None),
        (["--lr_scheduler_kwargs", '{"num_cycles": 2}'], None),
    ],
)
def test_the_options_that_go_with_a_name_are_told(
    flag: list[str], told: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = config(tmp_path, SEC, curriculum={"sec": {"tau": 0.4}}, lr_scheduler_kwargs={"num_cycles": 8})
    assert main(["grpo", *argv, "--dry_run", *flag]) == 0
    error = capsys.readouterr().err
    assert error.count(" go.\n") == (told is not None)
    assert told is None or told.format(file=argv[1]) in error


@pytest.mark.parametrize(
    ("flag", "gone"),
    [
        (["clip_cov"], {"budget": "every, weight", "clip_cov": "low"}),
        (['{"budget": {"weight": 0.1}}', "clip_cov"], {"budget": "every", "clip_cov": "low"}),
        (['{"budget": {"weight": 0.1, "every": 9}}', '{"clip_cov": {"low": 2.0}}'], {}),
    ],
)
def test_of_several_methods_each_is_told(
    flag: list[str], gone: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shaping = [{"budget": {"weight": 0.3, "every": 5}}, {"clip_cov": {"low": 2.0}}]
    argv = config(tmp_path, SEC, shaping=shaping)
    assert main(["grpo", *argv, "--dry_run", "--shaping", *flag, "--max_steps", "3"]) == 0
    error = capsys.readouterr().err
    assert error.count(" go.\n") == len(gone)
    for name, options in gone.items():
        assert f"--shaping {' '.join(flag)} replaces {name} of {argv[1]}: its options ({options}) go." in error


def test_the_arms_and_the_probe_that_go_are_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = config(tmp_path, SEC, arms={"success_rate": {"bins": 3}}, eval_per_arm=False)
    assert main(["grpo", *argv, "--dry_run", "--arms", "level"]) == 0
    told = capsys.readouterr()
    assert f"--arms level replaces success_rate of {argv[1]}: its options (bins) go." in told.err
    assert "arms        level: 1 (" in told.out


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
    with pytest.raises(ValueError, match=r"Row 0 \(counted from 0\): 'right' holds 2, which is neither"):
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


HARDEST = '{"order": {"mode": "hard_to_easy"}}'


@pytest.mark.parametrize(
    ("argv", "curriculum", "probe"),
    [
        ((), "edco (rounds=5, top_n=4", "5 rounds x 24 rows x 16 tokens = at most 1,920 tokens, transformers"),
        (
            ("--probe", '{"prefix_entropy": {"length": 4, "samples": 2, "temperature": 1.0}}'),
            "edco",
            "5 rounds x 24 rows x 4 tokens x 2 samples = at most 960 tokens, transformers",
        ),
        (
            ("--curriculum", '{"edco": {"reprobe": "uncertain"}}'),
            "reprobe=uncertain",
            "5 rounds x at most 24 rows x 16 tokens = at most 1,920 tokens, transformers",
        ),
        (("--curriculum", '{"edco": {"score_by": "random"}}'), "score_by=random", None),
        (
            ("--curriculum", '{"edco": {"score_by": "loss"}}'),
            "score_by=loss",
            "5 rounds x 24 rows, one forward over each",
        ),
        (("--curriculum", HARDEST, "--difficulty_from", "length"), "order (difficulty=column, mode=hard_to", None),
        (("--curriculum", HARDEST, "--difficulty_from", "answer_length"), "mode=hard_to_easy", None),
        (
            ("--curriculum", '{"order": {"mode": "hard_to_easy", "difficulty": "probe"}}'),
            "difficulty=probe",
            "1 time x 24 rows, one",
        ),
        (("--curriculum", "ucb1", "--max_steps", "160"), "ucb1 (round_batches=20, levels=3, outcome=None)", None),
        (("--curriculum", "uniform"), "uniform ()", None),
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


def test_ucb1_plays_terciles_of_a_difficulty(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    argv = ["--config", str(RECIPES / "grpo/cpu/edco_law_llama3_3b.yaml"), "--dry_run", "--curriculum", "ucb1"]
    assert main(["grpo", *argv]) == 1
    assert "set arms, or difficulty_column to be cut into arms" in capsys.readouterr().err
    argv += ["--difficulty_from", "length"]
    assert main(["grpo", *argv]) == 0  # 20 generations are one round
    assert "set round_batches to at most 2" in caplog.text
    assert main(["grpo", *argv, "--max_steps", "160"]) == 0
    assert "ucb1 (round_batches=20, levels=3, outcome=None)" in capsys.readouterr().out
