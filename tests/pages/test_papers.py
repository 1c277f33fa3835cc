"""Every method with a paper is on docs/papers.md, with what the page promises; its recipes: test_method_recipes.py."""

import json
import re
from pathlib import Path

import yaml

from trl_curriculum.families import FAMILIES
from trl_curriculum.registry import make_options
from trl_curriculum.rounds.proxy import Proxy
from trl_curriculum.rounds.selection import FeatureSettings, SelectionSettings


ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "papers.md").read_text()
BLOCKS = re.findall(r"(?s)```yaml\n(.*?)```", PAGE)


def test_what_is_added_to_select_can_be_made() -> None:
    assert len(BLOCKS) == 2 and all(block.startswith("# added to select\n") for block in BLOCKS)
    for lines in map(yaml.safe_load, BLOCKS):
        features = make_options(FeatureSettings, lines.get("features", {}), "features")
        settings = SelectionSettings(lines["selection"], lines["keep"], None, features)
        assert settings.n_kept(1000) == lines["keep"] * 1000
        make_options(Proxy, {"model": "x"} | lines.get("proxy", {}), "proxy")


def test_every_paper_is_there_with_what_the_page_promises() -> None:
    for registry in FAMILIES.values():
        for name, cls in registry.built_in.items():
            if number := re.search(r"arXiv (\d+\.\d+)", cls.paper):
                assert number[1] in PAGE, name
    sections = re.findall(r"(?s)\n### ([^\n]+)\n(.*?)(?=\n##|\Z)", PAGE)
    assert len(sections) >= 20
    for heading, section in sections:
        assert "Here: " in section and "- Paper: " in section and "Ours: " in section, heading
        assert "```" in section, f"{heading} has nothing that runs"


def test_the_numbers_of_ours_are_those_of_the_results() -> None:
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "results").rglob("*.md"))
    pages = (pages + (ROOT / "docs" / "results.md").read_text()).replace("−", "-")
    for line in re.findall(r"Ours: ([^\n]+)", PAGE) + re.findall(
        r"(?m)^\| .+ \|$", (ROOT / "docs" / "choose.md").read_text()
    ):
        for number in re.findall(r"[+−]\d*\.\d+", line):
            size = number.replace("−", "-")
            with_zero = size[0] + "0" + size[1:]
            assert size in pages or with_zero in pages, (number, line)


def test_its_ordered_baseline_has_as_many_draws_as_the_run() -> None:
    recipe = yaml.safe_load((ROOT / "recipes" / "grpo" / "sec_countdown.yaml").read_text())
    written = re.search(r"--config sec_countdown --curriculum '([^']+)'", PAGE)
    assert written is not None
    per_generation = (
        recipe["per_device_train_batch_size"] * recipe["steps_per_generation"] * recipe["num_processes"]
    ) // recipe["num_generations"]
    generations = recipe["max_steps"] * recipe["gradient_accumulation_steps"] // recipe["steps_per_generation"]
    assert json.loads(written[1])["order"]["total_draws"] == generations * per_generation
