"""What a run can do is said before it; names from data are text; what cannot act is refused."""

import json
from pathlib import Path

import make_data
import pytest
from commands import Done, command
from kit import GRPO, SFT, case

from trl_curriculum import read_history


def run(line: str, folder: Path, *more: str, out: str = "more") -> Done:
    return command([*line.split(), "--output_dir", f"out/{out}", *more], folder)


def put(folder: Path, name: str, column: str, values: list, n: int = 12) -> str:
    """Texts whose `column` holds the values in turn."""
    rows = [
        {"text": f"row {i}", "prompt": f"q{i}", "answer": str(i), column: values[i % len(values)]} for i in range(n)
    ]
    make_data.write(folder / "data" / name, rows)
    return f"data/{name}"


@pytest.mark.parametrize("name", ["F01a", "F01b"])
def test_names_are_text_in_the_closing_table_and_the_model_is_saved_first(name: str, inputs: Path) -> None:
    done = case(name, inputs, "--disable_tqdm", "false")
    assert done.code == 0, done.said
    assert {"F01a": "│ [/INST] code", "F01b": "│ [math]"}[name] in done.out
    assert done.out.index("Model saved") < done.out.index("Where the draws went")


def test_a_selection_of_sources_that_look_like_markup_is_reported(inputs: Path) -> None:
    done = case("F01c", inputs)
    assert done.code == 0 and "[/INST] web" in done.out


@pytest.mark.parametrize(
    "values", [["[/bold]", "[link=x]y"], ["\x1b[2J", "tab\there", "line\nfeed"], ["", " ", "z" * 300]]
)
def test_other_names_that_a_terminal_reads(values: list[str], inputs: Path) -> None:
    data = put(inputs, "odd_names", "kind", values)
    for out, line in (("sft", SFT), ("grpo", f"{GRPO} --num_generations 2")):
        done = run(f"{line} --dataset_name {data} --arms kind --disable_tqdm false", inputs, out=out)
        assert done.code == 0, done.said
        assert "Where the draws went" in done.out and "\x1b[2J" not in done.said
        assert "zzzzz" * 20 not in done.out
        assert set(read_history(inputs / "out" / out)["arm"]) <= set(values)


def test_evaluation_keys_stay_one_to_one(inputs: Path) -> None:
    done = case("F06", inputs)
    assert done.code == 0
    assert all(f"eval_{key}_loss" in done.out for key in ("a-b", "a-b-2", "c"))
    assert "12 held out" in done.out
    assert "eval_a-b-2_... are those of the arm 'a/b'" in done.err


def test_arms_without_a_twin_and_names_that_look_alike_are_said(inputs: Path) -> None:
    folder = inputs / "data" / "apart"
    make_data.write(folder, [{"text": f"row {i}", "kind": ["Math", "math ", "code", ""][i % 4]} for i in range(12)])
    make_data.write(folder, [{"text": "t", "kind": kind} for kind in ("math ", "law", "")], file="test.jsonl")
    done = run(f"{SFT} --dataset_name data/apart --arms kind --eval_per_arm true --eval_strategy steps", inputs)
    assert done.code == 0, done.said
    assert "'Math' and 'math '" in done.err and "a blank name" in done.err
    assert "Arms that are only evaluated: 'law'" in done.err
    assert "Arms that are only trained on: 'Math', 'code'" in done.err
    assert "eval_blank_loss" in done.out and "eval_math_loss" in done.out


def order_of_training(folder: Path) -> list[str]:
    return list(dict.fromkeys(read_history(folder)["arm"]))


def test_an_order_that_is_not_given_is_said(inputs: Path) -> None:
    done = case("F09a", inputs)
    assert "easy → hard → medium (by the alphabet" in done.out and "columns: {names: [diff], order:" in done.out
    done = case("F09b", inputs)
    assert "grade 1 → grade 2 → grade 10 (by numbers" in done.out
    assert order_of_training(inputs / "out/f09b") == ["grade 1", "grade 2", "grade 10"]


@pytest.mark.parametrize(
    ("values", "order"), [(["easy", "hard", "medium"], ["easy", "medium", "hard"]), ([1, 2, 10], [10, 1, 2])]
)
def test_an_order_can_be_given(values: list, order: list, inputs: Path) -> None:
    data = put(inputs, "ordered", "diff", values)
    arms = json.dumps({"columns": {"names": ["diff"], "order": order}})
    blocked = ("--curriculum", '{"order": {"mode": "blocked"}}')
    done = run(f"{SFT} --dataset_name {data} --max_steps 6", inputs, *blocked, "--arms", arms, out="given")
    assert done.code == 0, done.said
    assert f"order       {' → '.join(map(str, order))} (as given)" in done.out
    assert order_of_training(inputs / "out/given") == [str(one) for one in order]


@pytest.mark.parametrize(
    ("order", "words"),
    [(["easy", "hard"], "lacks 'medium'"), (["easy", "hard", "medium", "mad"], "an arm 'mad' that the data does not")],
)
def test_an_order_that_misses_or_invents_an_arm_is_refused(order: list, words: str, inputs: Path) -> None:
    arms = json.dumps({"columns": {"names": ["diff"], "order": order}})
    done = run(f"{SFT} --dataset_name f09_order", inputs, "--arms", arms, "--dry_run")
    assert words in done.sentence


def test_weights_of_numbers_and_weights_without_names(inputs: Path) -> None:
    assert case("F10a", inputs).code == 0
    assert "give a mapping such as {easy: 0.2, hard: 0.8}" in case("F10b", inputs).sentence


@pytest.mark.parametrize(
    ("values", "weights"),
    [
        ([1.5, 2.0], "{1.5: 0.2, 2: 0.8}"),
        ([True, False], "{true: 0.2, false: 0.8}"),
        (["yes", "no"], "{yes: 1, no: 2}"),
    ],
)
def test_weights_of_other_values_that_yaml_reads_its_way(values: list, weights: str, inputs: Path) -> None:
    data = put(inputs, "weighed", "level", values)
    recipe = f"dataset_name: {data}\narms: level\ncurriculum: {{mixture: {{weights: {weights}}}}}\n"
    (inputs / "weighed.yaml").write_text((inputs / "sft.yaml").read_text() + recipe)
    done = run("sft --config weighed.yaml", inputs)
    assert done.code == 0, done.said


def test_one_arm_is_refused_and_arms_of_one_row_are_warned_of(inputs: Path) -> None:
    sentence = case("N03a", inputs).sentence
    assert "'sec' chooses among arms" in sentence and "arms: {success_rate: {bins: 5}}" in sentence
    done = case("N03b", inputs)
    assert done.code == 0
    assert "makes 40 arms of 40 rows" in done.err and done.err.count("arms") < 5


@pytest.mark.parametrize(
    "line",
    [
        f"{SFT} --dataset_name data/texts --curriculum mixture",
        f"{GRPO} --dataset_name data/prompts --curriculum dump",
        f"{SFT} --dataset_name data/one_value --arms kind --curriculum mixture",
    ],
)
def test_other_methods_of_arms_without_arms(line: str, inputs: Path) -> None:
    put(inputs, "one_value", "kind", ["same"])
    assert "chooses among arms" in run(line, inputs).sentence


def test_a_curriculum_that_never_refreshes_is_refused_and_the_plan_says_why(inputs: Path) -> None:
    done = case("N09", inputs)
    assert "first refresh at step 5 of 4: never in this run; set refresh_steps to at most 3" in done.out
    assert "set refresh_steps to at most 3" in done.sentence
    curriculum = json.dumps({"evo_curate": {"refresh_steps": 3}})
    done = case("N09", inputs, "--curriculum", curriculum)
    assert done.code == 0 and "first refresh at step 4 of 4" in done.out


def test_training_says_what_its_curriculum_can_do_once_and_refuses_what_it_cannot(inputs: Path) -> None:
    done = run(f"{GRPO} --dataset_name data/prompts --arms topic --curriculum sec", inputs)
    assert done.code == 0, done.said
    for line in ("rows        40 to train on, 0 left out, 0 held out", "arms        topic: a (20), b (20)",
                 "odds        between arms at most 2.03 : 1 at tau=1", "golds       right answers earn their rewards",
                 "longest     3 tokens in the prompt of row 10 + 8 new ones, of 512", "first row   'q0'"):  # fmt: skip
        assert done.out.count(line) == 1, line
    assert "spread      1 prompts an arm and generation (of 2), 3.0 in the run" in done.out
    done = run(f"{SFT} --dataset_name data/texts --curriculum data_maps", inputs, out="trial")
    assert done.code == 0 and "it will draw blindly" in done.err  # three steps may be a trial
    epoch = "--max_steps -1 --num_train_epochs 1"
    done = run(f"{SFT} --dataset_name data/texts --curriculum data_maps {epoch}", inputs, out="refused")
    assert "data_maps" in done.sentence


def test_one_prompt_a_step_is_warned_of(inputs: Path) -> None:
    line = (
        f"{GRPO} --dataset_name data/prompts --arms topic --curriculum sec --per_device_train_batch_size 2 --dry_run"
    )
    assert "2 rollouts in groups of num_generations=2 are one prompt" in run(line, inputs).err


def test_many_arms_are_a_few_and_a_count(inputs: Path) -> None:
    done = case("R08", inputs)
    assert done.code == 0 and len(done.out) < 3_000
    assert "row-2 (1), row-3" in done.out and "(5,000 in all)" in done.out


def test_an_evaluation_without_rows_is_one_sentence(inputs: Path) -> None:
    assert "eval_strategy='steps'" in case("R15", inputs).sentence
    assert "dataset_test_split" in case("R15", inputs, "--dry_run").sentence


def test_a_best_model_by_a_metric_that_will_not_exist_is_one_sentence(inputs: Path) -> None:
    more = ("--load_best_model_at_end", "true", "--save_strategy", "steps", "--save_steps", "3")
    sentence = case("F06", inputs, *more, "--metric_for_best_model", "d_loss").sentence
    assert "'eval_d_loss', which no evaluation" in sentence
    assert "eval_loss, eval_a-b_loss, eval_a-b-2_loss, eval_c_loss" in sentence
    for chosen in ((), ("--metric_for_best_model", "c_loss")):  # by default the mean over the arms
        done = case("F06", inputs, *more, *chosen, "--overwrite_output_dir", "true")
        assert done.code == 0, done.said
