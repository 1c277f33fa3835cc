"""
Tasks whose answers are programs: lm-eval's own tasks, whose programs run in a sandbox in place of this process.

What they ask and how they read an answer is lm-eval's. The functions that its files name are replaced before any of
them is imported, since importing them runs code already.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from math import comb
from pathlib import Path
from typing import Any

from .sandbox import check_sandbox, run


AT_ONCE = 4  # programs
FENCE = "```"
SHOTS = (2, 3, 4)  # MBPP's examples, by their task_id


def pass_at_k(
    references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] | int
) -> dict[str, float]:
    """
    Whether one of k programs passes, estimated without bias from all that were generated (arXiv 2107.03374).

    Args:
        references (`Sequence[str]`):
            Tests of each problem, which follow the program.
        predictions (`Sequence[Sequence[str]]`):
            Programs for each problem, as many for one as for another.
        k (`Sequence[int]` or `int`):
            Of how many.

    Returns:
        `dict[str, float]`: `pass@1` and the like, the mean over problems.
    """
    right = [_passing(test, programs) for test, programs in zip(references, predictions, strict=True)]
    sizes = [len(programs) for programs in predictions]
    found = {}
    for one in [k] if isinstance(k, int) else k:
        missed = [comb(n - c, one) / comb(n, one) for n, c in zip(sizes, right, strict=True)]
        found[f"pass@{one}"] = 1 - sum(missed) / len(missed)
    return found


def pass_at_1(references: Sequence[str] | str, predictions: Sequence[Any]) -> float:
    """[`pass_at_k`] of one program a problem, which need not stand in a list."""
    tests = [references] if isinstance(references, str) else references
    programs = [[one] if isinstance(one, str) else one for one in predictions]
    return pass_at_k(tests, programs, 1)["pass@1"]


def _passing(test: str, programs: Sequence[str]) -> int:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(why is None for why in pool.map(run, [f"{program}\n{test}" for program in programs]))


def begun(responses: list[list[str]], docs: list[dict[str, Any]]) -> list[list[str]]:
    """Programs that a prompt has begun."""
    return [[doc["prompt"] + one for one in each] for each, doc in zip(responses, docs, strict=True)]


def begun_in_fence(responses: list[list[str]], docs: list[dict[str, Any]]) -> list[list[str]]:
    """Programs that a prompt has begun, inside of a fence that the answer closes."""
    return begun([[one.split(FENCE)[0] for one in each] for each in responses], docs)


def in_fence(responses: list[list[str]], docs: list[dict[str, Any]]) -> list[list[str]]:
    """Programs in a fence that stands open before the answer."""
    return [[one.split(FENCE)[0].strip("\n") for one in each] for each in responses]


def shots() -> list[dict[str, Any]]:
    """The three problems that MBPP shows first, from its own rows."""
    from datasets import load_dataset

    rows = load_dataset("google-research-datasets/mbpp", "full", split="prompt")
    return [dict(row) | {"is_fewshot": True} for row in rows if row["task_id"] in SHOTS]


FUNCTIONS: dict[str, Callable[..., Any]] = {  # by folder, module and name in lm-eval
    "humaneval/utils.pass_at_k": pass_at_k,
    "humaneval/utils.build_predictions": begun,
    "humaneval/utils.build_predictions_instruct": begun_in_fence,
    "mbpp/utils.pass_at_1": pass_at_1,
    "mbpp/utils.build_predictions": in_fence,
    "mbpp/utils.list_fewshot_samples": shots,
}


def sandboxed(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """
    The configuration of one of lm-eval's code tasks with our functions in it.

    Args:
        name (`str`):
            The task.
        config (`dict`):
            As lm-eval's index has it: functions are not imported yet, but named by their paths.

    Raises:
        `ValueError`: where it names a function that has no form that runs programs in a sandbox.
    """

    theirs = str(_folder())

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(one) for key, one in value.items()}
        if isinstance(value, list):
            return [replaced(one) for one in value]
        if not (isinstance(value, str) and value.startswith(theirs)):
            return value
        path = Path(value)
        if (function := FUNCTIONS.get(f"{path.parent.name}/{path.name}")) is None:
            raise ValueError(
                f"The task {name!r} runs generated code in this process, and has no form that runs it in a sandbox: "
                "choose humaneval, mbpp or one of their kin."
            )
        return function

    return replaced(config)


def comes_with_lm_eval(entry: Any) -> bool:
    """Whether a task of an index is one of lm-eval's own."""
    return entry.yaml_path is not None and entry.yaml_path.is_relative_to(_folder())


def _folder() -> Path:
    import lm_eval.tasks

    return Path(lm_eval.tasks.__file__).parent


def refuse_unsafe(name: str, task: Any, confirmed: bool) -> None:
    """
    Refuses a task that runs generated code, unless that was asked for and happens in the sandbox.

    Args:
        name (`str`):
            The task.
        task (`lm_eval.api.task.Task`):
            Loaded.
        confirmed (`bool`):
            `confirm_run_unsafe_code`.

    Raises:
        `ValueError`: in one sentence. [`~trl_curriculum.evaluation.sandbox.NoSandboxError`]: where there is none.
    """
    if not getattr(task, "UNSAFE_CODE", False):
        return
    refuse_unconfirmed(name, confirmed)
    config = task.config
    metrics = [one["metric"] for one in config.metric_list or []]
    if config.process_results is not None or any(getattr(one, "__module__", "") != __name__ for one in metrics):
        raise ValueError(
            f"The task {name!r} runs generated code in this process: score it with "
            "`!function trl_curriculum.evaluation.code.pass_at_k`, which runs it in a sandbox."
        )
    check_sandbox()


def refuse_unconfirmed(name: str, confirmed: bool) -> None:
    """Refuses a code task that nobody has confirmed."""
    if not confirmed:
        raise ValueError(
            f"The task {name!r} runs programs that the model writes: allow it with confirm_run_unsafe_code, and they "
            "run in a sandbox."
        )
