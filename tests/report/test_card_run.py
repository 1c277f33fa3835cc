"""What the model card tells of a run, from facts that are written down here."""

import shlex
from typing import Any

import pandas as pd
import pytest

from trl_curriculum.report.card_run import RunFacts, cost, evaluation, hyperparameters, reproduce, versions
from trl_curriculum.report.papers import TITLES, bibtex, citations
from trl_curriculum.report.public import public_command


SECRET = "hf_" + "s" * 34


def facts(**changes: Any) -> RunFacts:
    given: dict[str, Any] = {
        "trainer": "CurriculumSFTTrainer",
        "hyperparameters": {},
        "arguments": {},
        "versions": {},
        "processes": 1,
        "device": "CPU",
        "steps": 10,
        "seconds": None,
        "log": [],
        "argv": ("train.py",),
    }
    return RunFacts(**given | changes)


def cells(text: str) -> list[list[str]]:
    """The rows of a table of Markdown, without its names."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) <= 1
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def test_the_first_and_the_last_score_of_each_dataset() -> None:
    log = [
        {"eval_loss": 3.0, "eval_runtime": 9.0, "eval_samples_per_second": 1.0, "eval_num_tokens": 5.0, "step": 0},
        {"eval_easy_loss": 1.0, "eval_easy_reward": 0.125, "step": 5},
        {"loss": 2.0, "step": 5},
        {"eval_loss": 2.0, "step": 5},
        {"eval_loss": 1.23456789, "step": 10},
        {"eval_easy_loss": 0.5, "step": 10},
        {"eval_easy_too_loss": 4.0, "step": 10},
    ]
    assert cells(evaluation(facts(log=log, eval_sets=("easy", "easy_too")))) == [
        ["-", "loss", "3", "0", "1.235", "10"],
        ["easy", "loss", "1", "5", "0.5", "10"],
        ["easy", "reward", "0.125", "5", "-", "-"],
        ["easy_too", "loss", "4", "10", "-", "-"],
    ]
    assert evaluation(facts(log=[{"loss": 1.0, "step": 1}])) == ""


def test_scores_of_lm_eval_have_their_standard_errors() -> None:
    log = [
        {"lm_eval/arc_easy": 0.25, "lm_eval/arc_easy_stderr": 0.0123, "lm_eval/share_of_time": 0.1, "step": 0},
        {"lm_eval/arc_easy": 0.5, "lm_eval/arc_easy_stderr": 0.0145, "lm_eval/gsm8k": 0.125, "step": 10},
    ]
    assert cells(evaluation(facts(log=log))) == [
        ["lm-eval", "arc_easy", "0.25 ± 0.012", "0", "0.5 ± 0.015", "10"],
        ["lm-eval", "gsm8k", "0.125", "10", "-", "-"],
    ]


def test_names_of_datasets_are_text() -> None:
    names = ("a|b", "x\n---\nevil: [1", "<b>", "[/INST] `c`")
    log = [{f"eval_{name}_loss": 1.0 for name in names} | {"step": 1}]
    shown = [row[0] for row in cells(evaluation(facts(log=log, eval_sets=names)))]
    assert sorted(shown) == sorted(["a&#124;b", "x --- evil: &#91;1", "&#60;b&#62;", "&#91;/INST&#93; &#96;c&#96;"])


def test_arguments_lose_secrets_paths_and_addresses() -> None:
    given = {
        "learning_rate": 1e-4,
        "model_init_kwargs": {"token": SECRET, "cache_dir": "/home/me/cache", "proxy": "http://me:pw@10.0.0.1"},
        "deepspeed": "/home/me/zero3.json",
        "note": f"see /srv/secret/notes/today or {SECRET}",
    }
    for text in (hyperparameters(facts(hyperparameters=given)), reproduce(facts(arguments=given), None)):
        assert "0.0001" in text and "zero3.json" in text
        for hidden in ("/home", "hf_s", "pw", "10.0.0.1", "/srv/secret"):
            assert hidden not in text, hidden
    assert hyperparameters(facts()) == ""


def test_the_script_can_be_read_by_python() -> None:
    arguments = {"curriculum": {"sec": {"tau": 0.3}}, "note": 'x\n```\n"""', "arms": ["a"]}
    text = reproduce(facts(arguments=arguments, trainer="CurriculumGRPOTrainer", rollouts=8), "Qwen/Qwen3-0.6B")
    code = text.split("```python\n")[1].rsplit("\n```\n", 1)[0]
    assert "```\n" not in code and "reward_funcs=…" in code and "model='Qwen/Qwen3-0.6B'" in code
    scope: dict[str, Any] = {}
    made = code[code.index("args = ") : code.index("CurriculumGRPOTrainer(model")]
    exec(made, {"CurriculumGRPOConfig": dict}, scope)
    assert scope["args"] == arguments


def test_the_command_is_that_of_the_recipe_with_public_options() -> None:
    argv = ["--config", "/home/me/mine.yaml", "--model_name_or_path", "Qwen/Qwen3-0.6B", "--hub_token", SECRET]
    argv += ["--output_dir=/srv/out/run", "--tag", "a b", "--api_key=x", '--curriculum={"sec": {"tau": 0.3}}']
    argv += ["--generators", '[{"file": {"path": "/home/me/rows.jsonl", "token": "x"}}]', "--url", "http://10.0.0.1:8"]
    told = reproduce(facts(argv=("/x/recipes/evolve.py", *argv), processes=4), None)
    command = told.split("```bash\n")[1].split("\n```")[0]
    assert shlex.split(command.replace("\\\n", "")) == [
        *["trl-curriculum", "evolve", "--config", "mine.yaml", "--model_name_or_path", "Qwen/Qwen3-0.6B"],
        *["--hub_token", "***", "--output_dir", "run", "--tag", "a b", "--api_key", "***"],
        *[
            "--curriculum",
            '{"sec": {"tau": 0.3}}',
            "--generators",
            '[{"file": {"path": "rows.jsonl", "token": "***"}}]',
        ],
        *["--url", "***", "--num_processes", "4"],
    ]
    assert "trl-curriculum select" in reproduce(facts(argv=("recipes/select_rows.py",)), None)
    assert "\n```\n" not in public_command(["trl-curriculum", "sft", "--note", "x\n```\nevil"])


def test_what_it_took() -> None:
    """3 draws with 2, 4 and 6 tokens on average: 12 tokens of the loss in SFT, or 96 generated by 8 rollouts each."""
    history = pd.DataFrame({"length": [2.0, 4.0, 6.0]})
    log = [{"num_tokens": 50.0, "step": 1}, {"num_tokens": 101.0, "step": 2}, {"eval_num_tokens": 999.0, "step": 2}]
    assert cells(cost(facts(log=log, seconds=3725.0, processes=2), history)) == [
        ["optimizer steps", "10"],
        ["tokens that the model was given", "101"],
        ["tokens of the loss", "12"],
        ["time of training, over all resumes", "1 h 2 min"],
        ["processes", "2 on CPU"],
    ]
    assert ["generated tokens", "96"] in cells(cost(facts(rollouts=8), history))
    log += [{"rollouts/explored_tokens": 7.0, "step": 1}, {"rollouts/explored_tokens": 4.0, "step": 2}]
    assert ["generated tokens", "107"] in cells(cost(facts(rollouts=8, log=log), history)), "asked once more"
    assert not any(row[0].startswith("time") for row in cells(cost(facts(), history)))  # unknown
    assert versions(facts(versions={"peft": "1.2"})) == "- peft: 1.2\n"


def test_papers_are_cited_once_each_and_without_invented_authors() -> None:
    told = citations([("edco", "arXiv 2601.03725"), ("prefix_entropy", "arXiv 2601.03725"), ("mine", "-")])
    assert told.startswith("Cite `edco` and `prefix_entropy` as:") and told.count("@misc{") == 1
    assert "author" not in told and "title = {{EDCO: Dynamic Curriculum Orchestration" in told
    assert bibtex("2512.00001") == (
        "@misc{arxiv2512_00001,\n  eprint = {2512.00001},\n  archivePrefix = {arXiv},\n  year = {2025},\n"
        "  url = {https://arxiv.org/abs/2512.00001},\n}"
    )


@pytest.mark.parametrize("family", ["curricula", "arms", "probes", "rollouts", "shaping"])
def test_every_paper_of_a_trainers_methods_has_a_title(family: str) -> None:
    from trl_curriculum.families import FAMILIES  # and with it torch and TRL

    papers = {cls.paper for cls in FAMILIES[family].built_in.values() if cls.paper.startswith("arXiv ")}
    assert {one.removeprefix("arXiv ") for one in papers} <= set(TITLES)
