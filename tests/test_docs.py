"""The README's and the docs' code runs, and what they list exists."""

import dataclasses
import inspect
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset

from trl_curriculum import CURRICULA, Feedback, read_history
from trl_curriculum.cli import main
from trl_curriculum.curricula import EDCO, SEC, RoundBegan
from trl_curriculum.families import FAMILIES
from trl_curriculum.probes import PrefixEntropy
from trl_curriculum.report.commands import added, parsers
from trl_curriculum.report.tables import pages
from trl_curriculum.rounds.selection import FeatureSettings
from trl_curriculum.selection import SELECTION
from trl_curriculum.testing import conformance
from trl_curriculum.testing.simulated import pool, run


ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


def code(page: str, words: str) -> str:
    """The block of Python on a page that has these words."""
    return next(block for block in blocks((ROOT / page).read_text()) if words in block)


exec(code("docs/add_a_method.md", "class Shortest"), globals())
test_shortest = conformance(globals()["Shortest"]())


def test_the_smallest_curriculum_of_the_docs_works() -> None:
    scope: dict = {}
    exec(code("docs/add_a_method.md", "class Shortest"), scope)
    curriculum = CURRICULA.make(scope["Shortest"]).bind(pool())
    first = run(curriculum, 8, np.full(60, 0.5))
    assert len({row for draw in first for row in draw.row.tolist()}) == 60  # unseen rows first
    again = CURRICULA.make(scope["Shortest"]).bind(pool())
    again.load_state_dict(curriculum.state_dict())
    assert again.select(8).row.tolist() == curriculum.select(8).row.tolist()


def test_the_curricula_in_the_docs_work() -> None:
    """The plug-in passes the conformance tests (test_plugin.py); these are the other two."""
    scope: dict = {}
    for block in blocks((ROOT / "docs" / "add_a_method.md").read_text()):
        if "class Hardest" in block or "class UncertainHalf" in block:
            exec(block, scope)
    hardest = scope["Hardest"](measure="probe").bind(pool())
    hardest.observe_probe(np.arange(60), np.arange(60.0))
    weight = np.arange(60) + 1e-3
    assert hardest.probabilities() == pytest.approx(weight / weight.sum())
    half = scope["UncertainHalf"](rounds=2).bind(pool())
    began = []
    for step in range(10):
        while (asked := half.rows_to_probe(step / 10)) is not None:
            half.observe_probe(asked, np.where(asked < 30, np.nan, 1.0))
        draw = half.select(8, step / 10)
        assert draw.row.min() >= 30
        half.observe(Feedback(draw.row, draw.id, step))
        began += draw.events
    assert began == [RoundBegan(1), RoundBegan(2, fresh_optimizer=True)]
    again = scope["UncertainHalf"](rounds=2).bind(pool())
    again.load_state_dict(half.state_dict())
    assert again.select(8).row.tolist() == half.select(8).row.tolist()


def test_dump_in_the_docs_is_dump() -> None:
    dump = code("docs/add_a_method.md", "class DUMP")
    body = "\n".join(line for line in dump.splitlines()[2:] if line and "def " not in line)
    source = inspect.getsource(CURRICULA.built_in["dump"])
    assert all(line.strip() in source for line in body.splitlines())


CPU = "Config(use_cpu=True, bf16=False, "


def test_the_sft_code_of_the_docs_trains(tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = code("docs/sft.md", "CurriculumSFTTrainer(").replace("Qwen/Qwen3-1.7B-Base", tiny_path)
    scope: dict = {"dataset": Dataset.from_dict({"text": [f"{i}+{i}#{2 * i}" for i in range(224)]})}
    exec(text.replace("Config(", CPU), scope)
    assert scope["trainer"].state.global_step == 84  # 3 epochs of 224 rows, 8 a step
    assert scope["trainer"].curriculum.refreshes == 2


def test_the_grpo_code_of_the_docs_works(tiny_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = code("docs/grpo.md", "CurriculumGRPOTrainer(").replace("trainer.train()", "")
    scope: dict = {"dataset": Dataset.from_dict({"prompt": ["1", "2"], "answer": ["1", "2"], "level": [1, 2]})}
    scope["accuracy"] = lambda completions, **columns: [0.0] * len(completions)
    exec(text.replace("Qwen/Qwen2.5-3B", tiny_path).replace("Config(", CPU), scope)
    assert scope["trainer"].curriculum.method == SEC(tau=0.4)
    assert scope["trainer"].pool.arm_names == ("1", "2")
    exec(code("docs/grpo.md", '"edco"').replace("Config(", CPU), scope)
    assert scope["args"].curriculum_method == EDCO(rounds=5, top_n=200)
    assert scope["args"].prefix_entropy == PrefixEntropy(length=32)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Hub's data sets that the README names, with a few rows of their columns; the names that were asked for."""
    asked = []

    def load_dataset(name: str, split: str) -> Dataset:
        asked.append(name)
        assert split == "train"
        return Dataset.from_list([HUB[name](k) for k in range(64)])

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    return asked


def math_row(k: int) -> dict:
    about = {"subject": "Algebra", "level": 1 + k % 5, "unique_id": str(k)}
    return {"problem": f"{k}+1?", "solution": f"it is {k + 1}.", "answer": str(k + 1)} | about


def chat_row(k: int) -> dict:
    turns = [{"role": "user", "content": f"{k}?"}, {"role": "assistant", "content": f"{k}."}]
    return {"source": ("a", "b")[k % 2], "messages": turns, "num_turns": 1}


HUB = {"nlile/hendrycks-MATH-benchmark": math_row, "trl-lib/Capybara": chat_row}


def test_the_grpo_example_of_the_readme_runs_as_pasted(tiny_path: str, hub: list[str]) -> None:
    text = code("README.md", "CurriculumGRPOTrainer").replace("Qwen/Qwen2.5-0.5B-Instruct", tiny_path)
    text = text.replace("Config(", CPU + "max_completion_length=8, ").replace('"max_steps": 200', '"max_steps": 1')
    exec(text, {})
    assert hub == ["nlile/hendrycks-MATH-benchmark"]
    draws = read_history("sec-math")
    assert len(draws) == 16 and set(draws["arm"]) <= set("12345")
    assert (draws["scored"] == 8).all()


def test_the_sft_example_of_the_readme_runs_as_pasted(tiny_path: str, hub: list[str]) -> None:
    text = code("README.md", "CurriculumSFTTrainer").replace('"Qwen/Qwen2.5-0.5B"', repr(tiny_path))
    exec(text.replace("Config(", CPU).replace("<|im_end|>", "[eos]"), {})
    assert hub == ["trl-lib/Capybara"]
    draws = read_history("evo-capybara")
    assert len(draws) == 2 * 64 and draws["loss"].notna().all()


def test_what_stands_in_the_first_sixty_lines() -> None:
    lines = README.splitlines()
    top = "\n".join(lines[:60])
    for words in ("picture.svg", "## Install", "pip install", "CurriculumGRPOTrainer(", "CurriculumSFTTrainer("):
        assert words in top, words
    assert top[top.index("## Which method?") :].count("\n| ") == 7  # and the head of the table
    assert len(lines) <= 140 and max(map(len, lines)) < 300


def test_the_results_in_the_readme_are_those_of_the_results() -> None:
    table = README[README.index("## Measured") :].split("\n\n")[1].splitlines()[2:]
    assert len(table) == 5
    page = ""
    for row in table:
        if link := re.search(r"\]\(docs/(results[\w/]*\.md)", row):
            page = (ROOT / "docs" / link[1]).read_text()
        page += (ROOT / "docs" / "results.md").read_text()
        numbers = re.findall(r"[+−](?:\d*\.\d+)", row)
        assert numbers
        for number in numbers:
            size = number[1:].removeprefix("0")
            forms = {sign + zero + size for sign in (number[0], "-") for zero in ("", "0")}
            assert any(form in page for form in forms if (form[0] == "+") == (number[0] == "+")), (number, row)


def test_the_baselines_of_edco_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "methods.md").read_text()
    table = page[page.index("| baseline | add | whose |") :].split("\n\n")[0]
    flags = [found for line in table.splitlines() if (found := re.search(r"\| `(--curriculum [^`]+)`", line))]
    assert len(flags) == 7
    for found in flags:
        recipe = "edco_law_llama3_3b" if "ucb1" in found[1] else "edco_medqa_qwen3_4b"
        config = str(ROOT / "recipes" / "grpo" / "cpu" / f"{recipe}.yaml")
        long_enough = ["--max_steps", "160"]  # for rounds of 20 batches
        assert main(["grpo", "--config", config, "--dry_run", *shlex.split(found[1]), *long_enough]) == 0, found[1]
        assert "curriculum  " in capsys.readouterr().out


def test_every_method_is_documented() -> None:
    methods, reference = ((ROOT / "docs" / page).read_text() for page in ("methods.md", "reference/methods.md"))
    for name, cls in CURRICULA.built_in.items():
        assert f"| [`{name}`](#{name}) |" in methods and f"\n## {name}\n" in methods
        assert cls.paper == "-" or cls.paper.removeprefix("arXiv ") in methods
    for registry in FAMILIES.values():
        for name in registry.built_in:
            assert f"| `{name}` |" in reference


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_no_generated_page_is_stale(path: Path) -> None:
    assert path.read_text() == pages()[path], f"{path.name} is not what the methods declare: run `make pages`"


def test_the_reference_has_every_option_with_its_default() -> None:
    page = (ROOT / "docs" / "reference" / "methods.md").read_text()
    of_sec = page[page.index("### sec\n") : page.index("### self_paced\n")].splitlines()
    source = "the paper's 1.0 for Countdown; .4 for MATH, .2 for SEC-2D"
    assert f"| `tau` | float | above 0 | `1.0` | Temperature. | {source} |" in of_sec
    assert sum(line.startswith("| `") for line in of_sec) == 5
    assert "| `k` | int | at least 2 | must be given |" in page
    assert "[2505.14970](https://huggingface.co/papers/2505.14970)" in page
    methods = [f"### {name}\n" for registry in FAMILIES.values() for name, cls in registry.built_in.items()]
    assert sum(heading in page for heading in methods) == sum(
        any(field.init for field in dataclasses.fields(cls))
        for registry in FAMILIES.values()
        for cls in registry.built_in.values()
    )


def test_what_is_written_is_what_stale_pages_become(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "methods.md").write_text("# M\n<!-- curricula -->\nSTALE\n<!-- curricula -->\n")
    (tmp_path / "README.md").write_text(
        "[a](docs/data.md)\n<!-- families -->\nSTALE\n<!-- families -->\n[c](CONTRIBUTING.md)\n"
    )
    made = pages(tmp_path)
    readme = made[tmp_path / "README.md"]
    assert readme.startswith("[a](docs/data.md)\n<!-- families -->\n| family |") and "STALE" not in readme
    assert readme.endswith(" |\n<!-- families -->\n[c](CONTRIBUTING.md)\n")
    assert made[tmp_path / "docs" / "methods.md"].startswith("# M\n<!-- curricula -->\n| curriculum |")
    index = made[tmp_path / "docs" / "index.md"]
    assert index.startswith("[a](data.md)\n") and index.endswith("-->\n`CONTRIBUTING.md`\n")


def test_the_reference_of_commands_has_what_is_added_and_nothing_of_trl() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text()
    for command, parser in parsers().items():
        section = page[page.index(f"\n## {command}\n") :].split("\n## ")[1]
        shared = page[page.index("## What grpo, sft and evolve share") : page.index("\n## grpo\n")]
        for action in added(parser):
            known = f"| `{action.dest}` |" in section + shared or f"`{action.dest}`" in section
            assert known or (command == "score" and action.dest in ("eval_per_arm", "difficulty_from")), action.dest
    for upstream in ("learning_rate", "model_name_or_path", "dataset_name"):
        assert f"| `{upstream}` |" not in page[: page.index("\n## score\n")]


def test_every_selector_is_documented() -> None:
    page = (ROOT / "docs" / "selection.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name in SELECTION.built_in:
        assert any(f"`{name}`" in line.split("|")[1] for line in rows), name
    settings = FeatureSettings()
    assert settings.projection in page and f"{settings.dimension:,}" in page
    defaults = SELECTION.make("evoselect").options
    for words in ("`diversity` | .3 |", "`epsilon` | .05 |", "| 50, 1/√steps |", "`tolerance` | .001 |"):
        assert words in page
    assert [defaults[name] for name in ("diversity", "epsilon", "steps", "tolerance")] == [0.3, 0.05, 50, 1e-3]


def test_the_selection_in_the_docs_works() -> None:
    rng = np.random.default_rng(0)
    scope = {name: torch.from_numpy(rng.normal(size=(n, 8))) for name, n in (("candidates", 300), ("targets", 9))}
    scope = {name: value / value.norm(dim=1, keepdim=True) for name, value in scope.items()}
    exec(code("docs/selection.md", "EvoSelect("), scope)
    assert len(scope["chosen"].row) == 200


def test_links_and_files_exist() -> None:
    for page in PAGES:
        text = page.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
        for recipe in re.findall(r"recipes/[\w/]+\.(?:yaml|py)", text):
            assert (ROOT / recipe).exists(), f"{page.name} names {recipe}"
        for target in re.findall(r"`make ([\w-]+)|^make ([\w-]+)", text, flags=re.MULTILINE):
            assert f"\n{''.join(target)}:" in (ROOT / "Makefile").read_text(), f"{page.name} names make {target}"


def test_no_placeholder_is_left() -> None:
    for page in PAGES:
        assert "@@" not in page.read_text() and "TODO" not in page.read_text(), page.name
