"""Tasks whose answers are programs: lm-eval's questions, our sandbox, and a refusal where that cannot be."""

import json
from math import comb
from pathlib import Path
from typing import Any

import lm_eval.tasks
import pytest
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from trl_curriculum.evaluation.code import FUNCTIONS, begun_in_fence, in_fence, pass_at_1, pass_at_k, sandboxed
from trl_curriculum.evaluation.index import find_tasks
from trl_curriculum.evaluation.measure import load_tasks, measure, read_scores
from trl_curriculum.evaluation.settings import EvaluationSettings


THEIRS = Path(lm_eval.tasks.__file__).parent
ADD = {"prompt": "def add(a, b):\n", "test": "def check(f):\n    assert f(2, 3) == 5\n", "entry_point": "add"}
ANSWERS = (
    "    return a + b\n",
    "    return a - b\n",
    "    import sys; sys.exit(0)\n",
    "    import socket; socket.create_connection(('127.0.0.1', 22), 1); return a + b\n",
)


class Scripted(LM):
    """Answers each question as its test says."""

    max_length = 4096

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        return [request.doc["answer"] for request in requests]

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> Any:
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_program() -> None:
    programs = ["x = 1", "x = 2", "x = 1", "x = 0"]
    found = pass_at_k(["assert x == 1"], [programs], [1, 2, 4])
    assert found == {"pass@1": 0.5, "pass@2": pytest.approx(1 - comb(2, 2) / comb(4, 2)), "pass@4": 1.0}
    assert pass_at_1("assert x == 1", ["x = 1", "x = 3"][:1]) == 1.0


def test_programs_are_read_off_answers() -> None:
    assert begun_in_fence([["    return 1\n```\nIt returns 1."]], [ADD]) == [["def add(a, b):\n    return 1\n"]]
    assert in_fence([["x = 1\n```\nand more```"]], [{}]) == [["x = 1"]]


def test_programs_of_humaneval_run_in_the_sandbox(tmp_path: Path, few_tasks: None) -> None:
    """Its own question, filter and stop words, on rows of our own: what does harm is wrong, and no more."""
    secret, rows = tmp_path / "secret.txt", tmp_path / "rows.jsonl"
    secret.write_text("5")
    answers = [*ANSWERS, f"    return int(open({str(secret)!r}).read())\n"]
    rows.write_text("".join(json.dumps(ADD | {"answer": one}) + "\n" for one in answers))
    manager = find_tasks(["humaneval"])
    entry = manager.task_index["humaneval"]
    entry.cfg |= {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(rows)}}}
    settings = EvaluationSettings(["humaneval"], confirm_run_unsafe_code=True)
    loaded = load_tasks(settings, manager)
    assert loaded["tasks"]["humaneval"].doc_to_text(ADD) == ADD["prompt"]
    found = measure(Scripted(), loaded, settings)
    assert "lambda" not in (text := json.dumps(found, allow_nan=False)) and "def " not in text  # its config is full
    (score,) = read_scores(found)
    assert (score.metric, score.value, score.rows) == ("pass@1,create_test", 1 / 5, 5)


def test_they_run_for_those_alone_who_allow_it(few_tasks: None) -> None:
    for name in ("humaneval", "mbpp"):
        with pytest.raises(ValueError, match=f"The task '{name}' runs programs that the model writes: allow it"):
            load_tasks(EvaluationSettings([name]), find_tasks([name]))


def test_a_task_that_would_run_them_here_is_refused(tmp_path: Path, few_tasks: None) -> None:
    allowed: dict[str, Any] = {"confirm_run_unsafe_code": True}
    manager = find_tasks(["gsm8k", "mbpp"])
    name = next(name for name, entry in manager.task_index.items() if _is_other(entry))
    with pytest.raises(ValueError, match=f"The task '{name}' runs generated code in this process, and has no form"):
        load_tasks(EvaluationSettings([name], **allowed), manager)
    own = Path(__file__).parent / "own_tasks" / "letters.py"
    (tmp_path / "letters.py").write_text(own.read_text())
    task = (own.parent / "letters_written.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(task.replace("letters_written", "mine") + "unsafe_code: true\n")
    settings = EvaluationSettings(["mine"], include_path=str(tmp_path), **allowed)
    with pytest.raises(ValueError, match=r"score it with `!function trl_curriculum\.evaluation\.code\.pass_at_k`"):
        load_tasks(settings, find_tasks(["mine"], str(tmp_path)))


def _is_other(entry: Any) -> bool:
    return bool((entry.cfg or {}).get("unsafe_code")) and not entry.name.startswith(("humaneval", "mbpp"))


def test_every_function_of_humaneval_and_mbpp_has_its_like_here() -> None:
    """lm-eval's own files are not imported: the functions that they name are known by their paths."""
    manager = TaskManager(include_path=[THEIRS / "humaneval", THEIRS / "mbpp"], include_defaults=False)
    seen = set()
    for name, entry in manager.task_index.items():
        config = sandboxed(name, entry.cfg)
        assert config["metric_list"][0]["metric"] in (pass_at_k, pass_at_1), name
        seen |= {function for function in FUNCTIONS.values() if repr(function) in repr(config)}
    assert seen == set(FUNCTIONS.values()), "lm-eval changed under trl_curriculum: functions that its tasks name"
