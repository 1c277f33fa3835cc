"""Recipes say what they show, and each has a CPU twin that differs only where it has to."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from trl_curriculum import read_history
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.scripts.launch import parse


RECIPES = Path(__file__).parents[2] / "recipes"


def derived(path: Path) -> bool:
    """Whether a recipe starts from another."""
    return "\nbase: " in path.read_text()


def names(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml") if not derived(path))


NAMES = {kind: names(RECIPES / kind) for kind in ("grpo", "sft")}  # the others: test_method_recipes.py
ALL = [(kind, name) for kind, names in NAMES.items() for name in names]
# GRPO recipes whose rows come from the Hub; their twins have samples of our own with the same columns.
HUB = {
    "sec_math": "nlile/hendrycks-MATH-benchmark",
    "adarft_math": "nlile/hendrycks-MATH-benchmark",
    "one_gpu": "nlile/hendrycks-MATH-benchmark",
    "refill_math": "nlile/hendrycks-MATH-benchmark",
    "mopps_math": "nlile/hendrycks-MATH-benchmark",
    "prompt_augmentation": "nlile/hendrycks-MATH-benchmark",
    "edco_medqa_qwen3_4b": "GBaker/MedQA-USMLE-4-options",
    "edco_law_llama3_3b": "coastalcph/lex_glue",
}

MAY_DIFFER = {
    "model": {"model_name_or_path", "output_dir"},
    "sizes": {
        *("per_device_train_batch_size", "gradient_accumulation_steps", "steps_per_generation", "num_generations"),
        *("max_steps", "max_completion_length", "vllm_max_model_length", "size", "task_num_proc"),
        *("eval_steps", "num_generations_eval", "per_device_eval_batch_size", "logging_steps"),
        *("save_steps", "save_strategy", "top_n", "length"),
    },
    "back end": {
        *("num_processes", "num_cpu_threads_per_process", "accelerate_config", "use_cpu", "gradient_checkpointing"),
        *("use_vllm", "vllm_mode", "vllm_gpu_memory_utilization", "vllm_enable_sleep_mode"),
        *("back_end", "back_end_options"),
    },
    "precision": {"bf16"},
}
MAY_DIFFER_IN_SFT = {
    "model": {"chat_template_path"},
    "data": {
        *("dataset_name", "dataset_config", "dataset_test_split", "datasets", "test_split_size"),
        *("prompt_column", "completion_column", "tasks", "test_tasks", "arms"),
    },
    "sizes": {"max_length", "max_tokens", "refresh_steps", "probe_share", "batch_tokens"},
    "back end": {"attn_implementation", "load_in_4bit", "use_bnb_nested_quant"},
    "precision": {"dtype"},
}

# Rows with the columns that the datasets have on the Hub.
USER, ASSISTANT = {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "Because."}
NO_ROBOTS = {"prompt": "Why?", "prompt_id": "1", "messages": [USER, ASSISTANT, USER, ASSISTANT], "category": "Chat"}
MATH = {"problem": "1 + 1?", "solution": "2.", "answer": "2", "subject": "Algebra", "level": 1, "unique_id": "1"}
MAGICODER = {"lang": "python", "raw_index": 1, "index": 1, "seed": "s", "openai_fingerprint": "f"}
CAPYBARA = {"source": "Airoboros", "messages": [USER, ASSISTANT, USER, ASSISTANT], "num_turns": 2}
MEDQA = {
    **{"question": "Which?", "answer": "x", "options": {"A": "w", "B": "x", "C": "y", "D": "z"}, "meta_info": "step1"},
    **{"answer_idx": "B", "metamap_phrases": ["which"]},
}
ON_THE_HUB = {
    "GBaker/MedQA-USMLE-4-options": (MEDQA, {"meta_info": "step2&3"}),
    "coastalcph/lex_glue": ({"context": "See (<HOLDING>).", "endings": list("vwxyz"), "label": 3}, {"label": 0}),
    "trl-lib/Capybara": (CAPYBARA, {"source": "LessWrong"}),
    "HuggingFaceH4/no_robots": (NO_ROBOTS, {"category": "Open QA"}),
    "nlile/hendrycks-MATH-benchmark": (MATH, {"level": 5}),
    "openai/gsm8k": ({"question": "1 + 1?", "answer": "2\n#### 2"}, {}),
    "ise-uiuc/Magicoder-OSS-Instruct-75K": (MAGICODER | {"problem": "p", "solution": "s"}, {"lang": "rust"}),
}
LONGER = {("sft", "evo_curate_gsm8k_qlora"): "234", ("sft", "one_gpu"): "80"}  # or 64 rows end before a refresh
PLANNED = {  # over 64 rows of them
    ("grpo", "one_gpu"): (
        *("level: 1 (32), 5 (32)", "alpha=0.3, tau=0.2", "16 prompts x 8 generations = 128 rollouts"),
        *("1 optimizer steps per generation", " 200 generations", "107 : 1 at tau=0.2"),
    ),
    ("sft", "one_gpu"): (
        *("source: Airoboros (32), LessWrong (32)", "evo_curate (", "trained on  all tokens"),
        *("16 rows of at most 1024", "80 optimizer steps"),
    ),
    "refill_math": ("level: 1 (32), 5 (32)", "uniform (", "16 prompts x 8", "refill (tries=6, ", "carry=True"),
    "sec_math": ("level: 1 (32), 5 (32)", "256 prompts x", " 240 generations"),
    "adarft_math": (
        *(
            "level: 1 (32), 5 (32)",
            "adarft (difficulty=column, alpha=2.0",
            "128 prompts x 8 generations = 1024 rollouts",
        ),
        *("first new target at step 2 of 100", " 100 generations"),
    ),
    "mopps_math": ("level: 1 (32), 5 (32)", "mopps (", "256 prompts x", " 240 generations"),
    "prompt_augmentation": (
        *("prompt_augmentation (templates=None)", "math_accuracy, template_format", " 2700 generations"),
        "128 prompts x 8 generations = 1024 rollouts",
    ),
    "edco_medqa_qwen3_4b": (
        *(
            "meta_info: step1 (32), step2&3 (32)",
            "edco (rounds=5, top_n=200",
            "8 prompts x 8 generations = 64 rollouts",
        ),
        *("probe       5 rounds x 64 rows x 128 tokens = at most 40,960 tokens, vllm", " 500 generations"),
        "2 optimizer steps per generation, 32 rollouts each",
    ),
    "edco_law_llama3_3b": (
        "one: all (64)",
        "edco (rounds=5, top_n=800",
        "8 prompts x 8 generations",
        " 500 generations",
    ),
    "edco_medqa": (
        *("meta_info: step1 (32), step2&3 (32)", "edco (rounds=8, top_n=None, share=0.25", "completions"),
        *("probe       8 rounds x 64 rows x 128 tokens = at most 65,536 tokens, vllm", "8 rows of at most 4096"),
        "16 optimizer steps, 128 draws, 2.0 for each row",
    ),
    "competence_math": ("level: 1 (32), 5 (32)", "trained on  completions", "32 rows of at most 2048", "4 optimizer"),
    "evo_curate_gsm8k_qlora": (
        "one: all (64)",
        "in 4 bit with LoRA",
        "32 rows of at most 1024",
        "234 optimizer steps",
    ),
    "evo_curate_magicoder_packed": ("lang: python", "4 x 16384 tokens", "run         30000000 tokens", "all (8)"),
    "evo_curate_no_robots": ("category: Chat (32), Open QA (32)", "what the assistant says\n", "6 optimizer steps"),
    "uniform_no_robots": ("category: Chat (32), Open QA (32)", "what the assistant says\n", "6 optimizer steps"),
}


def read(path: Path) -> dict[str, Any]:
    """The recipe as a flat mapping: `tasks.0.size`, `curriculum options.tau` and so on."""

    def flatten(value: Any, key: str) -> dict[str, Any]:
        if not isinstance(value, dict | list):
            return {key: value}
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, item in items for k, v in flatten(item, f"{key}.{name}" if key else str(name)).items()}

    values = yaml.safe_load(path.read_text())
    if isinstance(values.get("curriculum"), dict):  # its name, and its options beside it
        ((values["curriculum"], values["curriculum options"]),) = values["curriculum"].items()
    return flatten(values, "")


def run(kind: str, *argv: str | Path) -> None:
    script = load_recipe(kind)
    *arguments, launch_args = parse(script.make_parser(), [str(word) for word in argv])
    script.main(*arguments, num_processes=launch_args.num_processes)


def differences(one: Path, other: Path, allowed: dict[str, str]) -> list[str]:
    """Prints in which keys two recipes differ; returns those that may not."""
    first, second = read(one), read(other)
    strangers = []
    for key in sorted(first.keys() | second.keys()):
        if first.get(key) != second.get(key):
            reason = next((allowed[part] for part in key.split(".") if part in allowed), None)
            print(f"{reason or 'NOT ALLOWED':<12}{key}: {first.get(key)} -> {second.get(key)}")
            if reason is None:
                strangers.append(key)
    return strangers


def allowed_in(kind: str) -> dict[str, str]:
    tables = [MAY_DIFFER, MAY_DIFFER_IN_SFT] if kind == "sft" else [MAY_DIFFER]
    return {key: reason for table in tables for reason, keys in table.items() for key in keys}


@pytest.mark.parametrize(("kind", "least"), [("grpo", 8), ("sft", 6)])
def test_every_recipe_has_a_twin_and_every_twin_a_recipe(kind: str, least: int) -> None:
    assert NAMES[kind] == names(RECIPES / kind / "cpu") and len(NAMES[kind]) >= least
    assert len(list((RECIPES / kind).glob("*.yaml"))) == len(list((RECIPES / kind / "cpu").glob("*.yaml")))


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_twin_differs_only_where_it_has_to(kind: str, name: str) -> None:
    allowed = allowed_in(kind) | (dict.fromkeys(("dataset_name", "dataset_config"), "no hub") if name in HUB else {})
    strangers = differences(RECIPES / kind / f"{name}.yaml", RECIPES / kind / "cpu" / f"{name}.yaml", allowed)
    assert not strangers, f"{name}: the twin differs from the recipe in {strangers}"


@pytest.mark.parametrize("name", NAMES["grpo"])
def test_twin_takes_as_many_steps_per_generation(name: str) -> None:
    both = [read(RECIPES / "grpo" / folder / f"{name}.yaml") for folder in (".", "cpu")]
    steps = {"adarft": 1, "edco": 2, "mopps": 2, "one": 1, "prompt": 1, "refill": 1}.get(name.split("_")[0], 4)
    assert [r["steps_per_generation"] / r["gradient_accumulation_steps"] for r in both] == [steps, steps]


@pytest.mark.parametrize("folder", ["sft", "sft/cpu"])
def test_the_baseline_is_one_flag_away(folder: str) -> None:
    paths = [RECIPES / folder / f"{curriculum}_no_robots.yaml" for curriculum in ("evo_curate", "uniform")]
    allowed = {"curriculum": "the flag", "output_dir": "a name", "variability": "an option"}
    if folder == "sft/cpu":
        allowed["refresh_steps"] = "an option"  # of the curriculum, for so short a run
    assert not differences(*paths, allowed)


@pytest.mark.parametrize("name", NAMES["grpo"])
@pytest.mark.parametrize("folder", ["grpo", "grpo/cpu"])
def test_dry_run(folder: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["--config", RECIPES / folder / f"{name}.yaml", "--dry_run", "--task_size", "1"]
    if name == "dump_knights_knaves":  # puzzles with 14 people take seconds each
        argv += ["--test_tasks", '{"family": "knights_knaves", "size": 1, "people": 3, "config": {"n_people": 3}}']
    if name in HUB and folder == "grpo":
        with pytest.raises(ConnectionError, match=f"{HUB[name]}.*Hub"):
            run("grpo", *argv)
        return
    run("grpo", *argv)
    plan = capsys.readouterr().out
    print(plan)
    of_math = dict.fromkeys(tuple(name for name, hub in HUB.items() if "MATH" in hub), 5)
    arms = of_math | {"sec_2d": 9, "dump_knights_knaves": 12, "edco_medqa_qwen3_4b": 2, "edco_law_llama3_3b": 1}
    arms = arms.get(name, 3)
    assert next(line for line in plan.splitlines() if line.startswith("arms")).count("(") == arms
    if folder == "grpo":
        prompts, generations = (128, 168) if name.startswith("dump") else (256, 720 if name == "sec_2d" else 240)
        assert f"{prompts} prompts x" in plan and "= 2048 rollouts" in plan
        assert "4 optimizer steps per generation, 512 rollouts each" in plan
        assert f" {generations} generations, {generations * 2048} rollouts" in plan


def with_local_rows(recipe: dict[str, Any], folder: Path) -> Path:
    """A recipe with 64 rows that have the columns of its dataset on the Hub, in place of these."""
    hub = recipe.get("dataset_name") or recipe["datasets"][0]["path"]
    row, other = ON_THE_HUB[hub]
    local = folder / "rows"
    local.mkdir()
    if "datasets" in recipe:  # without a test split
        recipe["datasets"][0]["path"], recipe["test_split_size"] = str(local), 8
        splits = {"train": 72}
    else:
        recipe.pop("dataset_config", None)
        recipe["dataset_name"] = str(local)
        splits = {"train": 64, "test": 4}
    for split, n in splits.items():
        lines = [json.dumps(row | (other if i % 2 else {})) for i in range(n)]
        (local / f"{split}.jsonl").write_text("\n".join(lines))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return folder / "recipe.yaml"


@pytest.mark.parametrize(
    ("kind", "name"), [("sft", name) for name in NAMES["sft"]] + [("grpo", name) for name in sorted(HUB)]
)
def test_dry_run_on_rows_as_on_the_hub(
    kind: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = RECIPES / kind / f"{name}.yaml"
    recipe = yaml.safe_load(path.read_text())
    hub = recipe.get("dataset_name") or recipe["datasets"][0]["path"]
    with pytest.raises(ConnectionError, match=rf"{hub}.*Hub"):
        run(kind, "--config", path, "--dry_run")
    longer = ["--max_steps", steps] if (steps := LONGER.get((kind, name))) else []
    run(kind, "--config", with_local_rows(recipe, tmp_path), "--dry_run", *longer)
    plan = capsys.readouterr().out
    print(plan)
    assert "64 to train on" in plan
    for words in PLANNED.get((kind, name)) or PLANNED[name]:
        assert words in plan


@pytest.mark.parametrize("name", NAMES["sft"])
def test_dry_run_of_the_sft_twin(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    few = ("--task_size", "2", "--max_steps", "40")
    run("sft", "--config", RECIPES / "sft" / "cpu" / f"{name}.yaml", "--dry_run", *few)
    plan = capsys.readouterr().out
    print(plan)
    recipe = yaml.safe_load((RECIPES / "sft" / "cpu" / f"{name}.yaml").read_text())
    column = recipe["arms"]
    if "tasks" in recipe:
        arms = {task[column] for task in recipe["tasks"]}
        assert len(arms) >= 4
    else:
        file = RECIPES.parent / recipe["dataset_name"] / "train.jsonl"
        arms = {json.loads(line)[column] for line in file.read_text().splitlines()}
    line = next(line for line in plan.splitlines() if line.startswith("arms"))
    assert line.startswith(f"arms        {column}: ") and line.count("(") == len(arms)


@pytest.mark.parametrize(
    ("sample", "hub"), [("medqa", HUB["edco_medqa_qwen3_4b"]), ("case_hold", "coastalcph/lex_glue")]
)
def test_samples_have_the_columns_of_the_hub(sample: str, hub: str) -> None:
    kinds = {name: type(value) for name, value in ON_THE_HUB[hub][0].items()}
    for split in ("train", "test"):
        lines = (RECIPES / "grpo/cpu" / f"{sample}_sample" / f"{split}.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert all({name: type(value) for name, value in row.items()} == kinds for row in rows)
        for row in rows:
            right = row["options"][row["answer_idx"]] if sample == "medqa" else row["endings"][row["label"]]
            choices = list(row["options"].values()) if sample == "medqa" else row["endings"]
            assert choices.count(right) == 1 and len(set(choices)) == len(choices)
            assert right == row.get("answer", right)


BASELINES = [(kind, folder, name) for kind, name in ALL for folder in (kind, f"{kind}/cpu")]


@pytest.mark.parametrize(("kind", "folder", "name"), BASELINES)
def test_the_baseline_of_every_recipe_is_planned(
    kind: str, folder: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = RECIPES / folder / f"{name}.yaml"
    recipe = yaml.safe_load(path.read_text())
    words = []
    if folder == kind and not recipe.get("tasks"):  # rows from the Hub: some of our own in their place
        path = with_local_rows(recipe, tmp_path)
    else:
        words = ["--task_size", "2"]
        if name == "dump_knights_knaves":
            words += [
                "--test_tasks",
                '{"family": "knights_knaves", "size": 1, "people": 3, "config": {"n_people": 3}}',
            ]
    run(kind, "--config", path, "--dry_run", *words, "--curriculum", "uniform")
    told = capsys.readouterr()
    assert "curriculum  uniform ()" in told.out
    spec = recipe["curriculum"]
    ((before, options),) = spec.items() if isinstance(spec, dict) else [(spec, {})]
    gone = f"--curriculum uniform replaces {before} of {path}: its options ({', '.join(options)}) go.\n"
    assert told.err.count("replaces") == bool(options) and (gone in told.err) == bool(options)


SHORT = {"length": 4, "quick_answer": None}  # the tiny model reads 128 letters


def short_questions(folder: Path, recipe: str) -> Path:
    """A twin on questions that the tiny model has room for, whose right option is always B."""
    values = yaml.safe_load((RECIPES / recipe).read_text())
    (folder / "rows").mkdir()
    for split, n in (("train", 16), ("test", 2)):
        rows = [MEDQA | {"question": f"{i}?", "meta_info": f"step{i % 2}"} for i in range(n)]
        (folder / "rows" / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    values |= {"dataset_name": str(folder / "rows"), "instruction": "", "output_dir": str(folder / "out")}
    values["probe"]["prefix_entropy"] |= SHORT
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return folder / "recipe.yaml"


def test_edco_twin_trains(tiny_path: str, tmp_path: Path) -> None:
    config = short_questions(tmp_path, "grpo/cpu/edco_medqa_qwen3_4b.yaml")
    run("grpo", "--config", config, "--model_name_or_path", tiny_path, "--max_completion_length", "8")
    history = read_history(tmp_path / "out")
    assert len(history) == 5 * 4
    rounds = history["row"].to_numpy().reshape(5, 4)  # top_n: 4 rows, each once
    assert all(len(set(rows)) == 4 for rows in rounds.tolist())


def test_edco_sft_twin_trains_on_a_cosine_a_round(tiny_path: str, tmp_path: Path) -> None:
    config = short_questions(tmp_path, "sft/cpu/edco_medqa.yaml")
    argv = ["--config", config, "--model_name_or_path", tiny_path, "--per_device_train_batch_size", "2"]
    run("sft", *argv, "--logging_steps", "1", "--save_strategy", "steps", "--save_steps", "16")
    history = read_history(tmp_path / "out")
    rounds = history["row"].to_numpy().reshape(8, 4)  # a quarter of 16 rows, each once
    assert all(len(set(rows)) == 4 for rows in rounds.tolist())
    state = json.loads((tmp_path / "out" / "checkpoint-16" / "trainer_state.json").read_text())
    logged = [entry for entry in state["log_history"] if "curriculum/round" in entry]
    assert [entry["curriculum/round"] for entry in logged] == [k // 2 + 1 for k in range(16)]
    rate = [entry["learning_rate"] for entry in logged]
    assert rate[::2] == [pytest.approx(2.5e-6)] * 8 and rate[1::2] == [pytest.approx(1.25e-6)] * 8


def test_smallest_twin_trains_and_resumes(tiny_path: str, tmp_path: Path) -> None:
    argv = ["--config", RECIPES / "grpo/cpu/sec_math.yaml", "--model_name_or_path", tiny_path, "--instruction", " "]
    argv += ["--per_device_train_batch_size", "1", "--num_generations", "2", "--max_completion_length", "16"]
    argv += ["--output_dir", tmp_path, "--save_strategy", "steps", "--save_steps", "4", "--eval_steps", "4"]
    run("grpo", *argv, "--max_steps", "4")
    assert (tmp_path / "model.safetensors").exists()
    run("grpo", *argv, "--max_steps", "8", "--resume_from_checkpoint", tmp_path / "checkpoint-4")
    state = json.loads((tmp_path / "checkpoint-8" / "trainer_state.json").read_text())
    logged = {key for entry in state["log_history"] for key in entry}
    assert state["global_step"] == 8
    assert {"rewards/math_accuracy/mean", "eval_1_reward", "eval_5_reward", "curriculum/probability/5"} <= logged
    assert len(read_history(tmp_path)) > 0


def test_smallest_sft_twin_trains_and_resumes(tiny_path: str, tmp_path: Path) -> None:
    argv = ["--config", RECIPES / "sft/cpu/competence_math.yaml", "--model_name_or_path", tiny_path]
    argv += ["--eos_token", "[eos]", "--output_dir", tmp_path, "--save_strategy", "steps", "--save_steps", "20"]
    run("sft", *argv)
    assert (tmp_path / "model.safetensors").exists()
    whole = read_history(tmp_path)
    assert len(whole) == 40 * 8
    level = whole["arm"].astype(int).groupby(whole["step"] // 10).mean()
    assert level[0] < level[1] < level[3], "easy words come first, hard ones later"
    run("sft", *argv, "--resume_from_checkpoint", tmp_path / "checkpoint-20")
    state = json.loads((tmp_path / "checkpoint-40" / "trainer_state.json").read_text())
    logged = {key for entry in state["log_history"] for key in entry}
    assert {"eval_1_loss", "eval_5_loss", "curriculum/competence", "curriculum/loss/5"} <= logged
    assert read_history(tmp_path)["row"].tolist() == whole["row"].tolist()
