"""What is published, and what an installed wheel can do."""

import os
import re
from pathlib import Path

import pytest
import yaml
from commands import command, forked
from kit import case


def card(inputs: Path, arms: str = "topic", name: str = "x", dataset: str = "some/local folder/rows.jsonl") -> str:
    """The card of a short run, in a process of its own in the folder of the inputs."""

    def body() -> None:
        os.chdir(inputs)
        from datasets import Dataset

        from trl_curriculum import CurriculumSFTConfig, CurriculumSFTTrainer

        args = CurriculumSFTConfig(
            "out/card",
            use_cpu=True,
            bf16=False,
            curriculum={"evo_curate": {"width": 0.125, "refresh_steps": 1}},
            arms=[arms],
            max_steps=3,
            report_to="none",
        )
        rows = Dataset.from_list([{"text": f"row {i}", arms: "ab"[i % 2]} for i in range(8)])
        trainer = CurriculumSFTTrainer(model="models/tiny", args=args, train_dataset=rows)
        trainer.train()
        trainer.create_model_card(model_name=name, dataset_name=dataset)

    done = forked(body, inputs)
    assert done.code == 0, done.said
    return (inputs / "out" / "card" / "README.md").read_text()


def test_r07_the_card_names_the_method_and_no_path(inputs: Path) -> None:
    text = card(inputs)
    assert "local folder" not in text and "rows.jsonl" not in text and str(inputs) not in text
    assert "models/tiny" not in text and "[None]" not in text and '"None"' not in text
    for told in ("evo_curate", "width = 0.125", "topic", "trl_curriculum", "ACL 2026 long.505", "TRL: "):
        assert told in text, told
    assert "datasets" not in yaml.safe_load(text.split("---")[1])


@pytest.mark.parametrize("name", ["a: [b", '"', "- x"])
def test_its_front_matter_is_yaml_whatever_names_are_given(inputs: Path, name: str) -> None:
    text = card(inputs, arms=f"{name} |", name=name, dataset="owner/name")
    front = yaml.safe_load(re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)[1])
    assert front["model_name"] == name and "owner/name" in front["datasets"]


@pytest.mark.parametrize("name", ["recipes/sft/competence_math.yaml", "competence_math", "sft/competence_math"])
def test_n02_a_recipe_is_found_by_its_name(inputs: Path, name: str) -> None:
    done = command(["sft", "--config", name, "--dry_run"], inputs, launched=True)
    assert "No such file" not in done.said and not done.traceback
    assert "competence_math.yaml" in done.err
    assert "hendrycks-MATH" in done.sentence, "the recipe was read: its data set is on the Hub"


@pytest.mark.parametrize(
    ("command_name", "recipe", "words"),
    [
        ("sft", "competence_mth", "did you mean 'competence_math'"),
        ("grpo", "competence_math", "is one of `trl-curriculum sft`"),
        ("evolve", "recipes/evolve/evoselect_ark_3b.yaml", "did you mean 'evoselect_arc_3b'"),
        ("select", "nothing.yaml", "no such file, and no recipe of that name"),
        ("score", "nothing.yaml", "no such file, and no recipe of that name"),
    ],
)
def test_what_is_not_found_is_told_with_the_nearest(inputs: Path, command_name: str, recipe: str, words: str) -> None:
    done = command([command_name, "--config", recipe, "--dry_run"], inputs, launched=True)
    assert words in done.sentence


def test_n02_by_the_script_itself(inputs: Path) -> None:
    assert "hendrycks-MATH" in case("N02", inputs).sentence


def test_recipes_are_listed(inputs: Path) -> None:
    done = command(["recipes"], inputs)
    assert done.code == 0 and "grpo/sec_countdown" in done.out and "sft/competence_math" in done.out
