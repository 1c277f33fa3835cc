"""Values of options that cannot be, and what a selection writes: through the commands, as a user meets them."""

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest
from commands import command
from kit import COMMANDS, GRPO, SELECT, SFT, case


ROWS = "--dataset_name data/prompts --output_dir out/options"
POOL = "--candidates data/pool/train.jsonl --output_dir out/options"
SPECS = {
    name: shlex.quote(json.dumps(spec))
    for name, spec in {
        "int8": {"dtype": "int8"},
        "tau": {"sec": {"tau": float("nan")}},
        "bins": {"success_rate": {"bins": 10**9}},
        "clusters": {"diversity": {"clusters": 10000}},
        "dimension": {"dimension": 0},
        "n_last": {"n_last": -1},
        "steps": {"steps": 0},
        "rate": {"learning_rate": float("nan")},
    }.items()
}
TWICE = shlex.quote('{"sec": {"tau": 1, "tau": 2}}')
REFUSED = {
    # TRL's own numbers
    f"{GRPO} {ROWS} --per_device_train_batch_size 0": "per_device_train_batch_size=0 must be at least 1",
    f"{GRPO} {ROWS} --gradient_accumulation_steps 0": "gradient_accumulation_steps=0 must be at least 1",
    f"{GRPO} {ROWS} --num_iterations 0": "num_iterations=0 must be at least 1",
    f"{GRPO} {ROWS} --num_generations 1": "num_generations=1 must be at least 2",
    f"{GRPO} {ROWS} --steps_per_generation 0": "steps_per_generation=0 must be at least 1",
    f"{GRPO} {ROWS} --max_steps 0": "max_steps=0 must be at least 1, or -1",
    f"{GRPO} {ROWS} --logging_steps nan": "logging_steps=nan is not a number: it must be above 0",
    f"{GRPO} {ROWS} --learning_rate inf": "learning_rate=inf must be at least 0 and finite",
    f"{SFT} --dataset_name data/texts --per_device_train_batch_size 0": "per_device_train_batch_size=0 must be",
    f"{SFT} --dataset_name data/texts --model_init_kwargs {SPECS['int8']}": "dtype='int8' is no floating type",
    # Options of methods
    f"{GRPO} {ROWS} --curriculum {SPECS['tau']}": "tau=nan of sec is not a number: it must be above 0",
    f"{GRPO} {ROWS} --arms {SPECS['bins']}": "bins=1000000000 of success_rate must be at least 2 and at most 1000",
    f"{GRPO} {ROWS} --curriculum {TWICE}": "'tau' is given twice",
    # Selecting
    COMMANDS["R18"]: "epsilon=1e-05 of evoselect must be at least 0.003",
    f"{SELECT} {POOL} --keep inf": "keep=inf of the selection must be above 0 and finite",
    f"{SELECT} {POOL} --keep nan": "keep=nan of the selection is not a number",
    f"{SELECT} {POOL} --keep 2.5": "keep=2.5 is no whole number of candidates",
    f"{SELECT} {POOL} --distinct 2": "distinct=2.0 of the selection must be above 0 and at most 1",
    f"{SELECT} {POOL} --max_length 0": "max_length=0 must be at least 1",
    f"{SELECT} {POOL} --selection {SPECS['clusters']}": "clusters=10000 of diversity is more than",
    f"{SELECT} {POOL} --features {SPECS['dimension']}": "dimension=0 of features must be at least 1",
    f"{SELECT} {POOL} --features {SPECS['n_last']}": "n_last=-1 of features must be at least 1",
    f"{SELECT} {POOL} --proxy {SPECS['steps']}": "steps=0 of the proxy must be at least 1",
    f"{SELECT} {POOL} --proxy {SPECS['rate']}": "learning_rate=nan of the proxy is not a number",
}


@pytest.mark.parametrize("argv", REFUSED)
def test_is_refused_in_one_sentence_before_any_work(argv: str, inputs: Path) -> None:
    done = command(shlex.split(argv) + (["--output_dir", "out/r18"] if argv == COMMANDS["R18"] else []), inputs)
    assert REFUSED[argv] in done.sentence
    for folder in ("options", "r18"):
        assert not list((inputs / "out" / folder).rglob("*.safetensors"))


def test_a_recipe_with_a_key_twice(inputs: Path) -> None:
    (inputs / "twice.yaml").write_text((inputs / "sft.yaml").read_text() + "\nseed: 1\nseed: 2\n")
    done = command(shlex.split("sft --config twice.yaml --dataset_name data/texts --output_dir out/twice"), inputs)
    assert "twice.yaml, line" in done.sentence and "'seed' is given twice" in done.sentence


def test_what_is_selected_has_its_score_its_place_and_the_users_columns_and_is_trained_on(inputs: Path) -> None:
    done = case("N08", inputs)
    assert done.code == 0, done.said
    file = "out/n08/evoselect/selected.parquet"
    selected = pd.read_parquet(inputs / file)
    pool = pd.read_json(inputs / "data/pool_ids/train.jsonl", lines=True)
    assert selected["id"].tolist() == selected["row"].tolist() and len(selected) > 1
    assert selected["prompt"].tolist() == pool["prompt"][selected["row"]].tolist()
    assert selected["score"].is_monotonic_decreasing and "pool_source" not in selected
    trained = command(
        shlex.split(f"sft --config sft.yaml --dataset_name {file} --max_steps 1 --output_dir out/on"), inputs
    )
    assert trained.code == 0, trained.said


def test_messages_are_selected_and_trained_on(inputs: Path) -> None:
    done = command([*shlex.split(COMMANDS["N07"]), "--selection", "random", "--output_dir", "out/n07"], inputs)
    assert done.code == 0, done.said
    file = "out/n07/random/selected.parquet"
    assert {"messages", "score"}.isdisjoint(pd.read_parquet(inputs / file).columns)
    trained = command(
        shlex.split(f"sft --config sft.yaml --dataset_name {file} --max_steps 1 --output_dir out/on7"), inputs
    )
    assert trained.code == 0, trained.said
