"""Reward functions with TRL's signature, and the names that recipes call them by."""

import functools
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from ..data.tasks import load_family
from ..registry import nearest
from .answers import Completion, boxed, extract_answer, is_literal, same_answer, text_of
from .base import REWARDS, Accuracy, RewardFunction, Rewards


# reasoning-gym evaluates answers to these families as code, so only what cannot be anything but data is let through.
ARITHMETIC_FAMILIES = ("countdown", "puzzle24")
LITERAL_FAMILIES = ("binary_matrix", "n_queens", "number_sorting", "spiral_matrix", "string_insertion")
LATEX = {r"\times": "*", r"\cdot": "*", r"\div": "/", r"\left": "", r"\right": "", "×": "*", "÷": "/", "−": "-"}


def reasoning_gym_accuracy(completions: list[Completion], **kwargs: Any) -> Rewards:
    r"""
    Reward 1.0 if the family's own scorer gives the answer full marks, else 0.0, as in SEC (arXiv 2505.14970).

    The answer is the content of the last `\boxed{}`, else of the last `<answer></answer>`, else the last line. A row
    without an entry, and a completion at which the scorer fails, get `None` (not applicable); the share of the latter
    is logged as `rewards/unscored`.

    Args:
        completions (`list[str]` or `list[list[dict]]`):
            Completions, standard or conversational.
        **kwargs:
            Dataset columns, of which `family` and `entry` are used (see
            [`~trl_curriculum.data.tasks.reasoning_gym_dataset`]), and TRL's `log_metric`.
    """
    return [None if score is None else float(score >= 1) for score in reasoning_gym_score(completions, **kwargs)]


def reasoning_gym_score(
    completions: list[Completion],
    family: list[str | None] | None = None,
    entry: list[str | None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **kwargs: Any,
) -> Rewards:
    """Reward what the family's own scorer gives, partial credit included (many families give .01 for anything)."""
    if family is None or entry is None:
        raise ValueError(
            "The reasoning-gym rewards need the dataset columns 'family' and 'entry': build the dataset with "
            "`reasoning_gym_dataset`."
        )
    return _score_all(_score, zip(completions, family, entry, strict=True), log_metric)


def math_accuracy(
    completions: list[Completion],
    solution: list[str | None] | None = None,
    answer: list[str | None] | None = None,
    log_metric: Callable[[str, float], None] | None = None,
    **kwargs: Any,
) -> Rewards:
    r"""
    Reward 1.0 if the answer is mathematically equal to the gold answer, else 0.0, by TRL's `accuracy_reward`.

    The gold answer is the column `answer`, or else the last `\boxed{}` of the column `solution`. It may be bare LaTeX.
    A gold answer that cannot be parsed gives `None` (not applicable), and so does a completion at which the scorer
    fails.
    """
    from trl.rewards import accuracy_reward

    golds = answer if answer is not None else solution
    if golds is None:
        raise ValueError("`math_accuracy` needs the gold answers in a dataset column 'answer' or 'solution'.")

    def score(completion: Completion, gold: str | None) -> float | None:
        if gold is None:
            return None
        text = [{"role": "assistant", "content": text_of(completion)}]
        return accuracy_reward([text], [f"\\boxed{{{boxed(str(gold)) or gold}}}"])[0]

    return _score_all(score, zip(completions, golds, strict=True), log_metric)


def multiple_choice_accuracy(
    completions: list[Completion],
    right_letter: list[str | None] | None = None,
    right_text: list[str | None] | None = None,
    answer: list[str | None] | None = None,
    **kwargs: Any,
) -> Rewards:
    r"""
    Reward 1.0 if the answer is the right option, else 0.0.

    The answer is read off as in [`reasoning_gym_accuracy`]. It is right as the letter (`B`, `(b)`), as the letter and
    the option's text (`B. 12 mg`) or as the text alone; an answer that names two options is wrong.

    Args:
        completions (`list[str]` or `list[list[dict]]`):
            Completions, standard or conversational.
        right_letter, right_text (`list[str]`):
            Dataset columns, as the recipes' `options_column` and `right_option_column` make them. A row without a
            letter gives `None` (not applicable).
        answer (`list[str]`):
            Dataset column that stands for `right_letter` where that is missing.
        **kwargs:
            Other dataset columns.
    """
    right_letter = right_letter if right_letter is not None else answer
    if right_letter is None:
        raise ValueError(
            "`multiple_choice_accuracy` needs the right letters in a dataset column 'right_letter': set "
            "`options_column` and `right_option_column`."
        )
    texts = right_text if right_text is not None else [None] * len(right_letter)
    return [
        None if letter is None else float(_is_option(extract_answer(text_of(completion)), letter, text))
        for completion, letter, text in zip(completions, right_letter, texts, strict=True)
    ]


def exact_match(completions: list[Completion], answer: list[str | None] | None = None, **kwargs: Any) -> Rewards:
    r"""
    Reward 1.0 if the answer is the gold answer, as a text but for case and spaces or as a number, else 0.0.

    The answer is read off as in [`reasoning_gym_accuracy`]. The gold answer is the column `answer`; a row without one
    gets `None` (not applicable).
    """
    if answer is None:
        raise ValueError("`exact_match` needs the gold answers in a dataset column 'answer'.")
    return [
        None if gold is None else float(same_answer(text_of(completion), str(gold)))
        for completion, gold in zip(completions, answer, strict=True)
    ]


def _is_option(answer: str, letter: str, text: str | None) -> bool:
    def words(part: str) -> str:
        return " ".join(part.strip(" \t\n.:*()[]").casefold().split())

    named = re.fullmatch(r"[(\[*]*([^\W\d_])[)\].:*]*(?:\s+(.*))?", answer.strip(), flags=re.DOTALL)
    if named and words(named[1]) == words(letter) and (named[2] is None or words(named[2]) == words(text or "")):
        return True
    return text is not None and len(words(text)) > 1 and words(answer) == words(text)


def _accuracy(name: str, judge: RewardFunction, **facts: Any) -> None:
    """Registers an accuracy under a name, with a function's docstring."""
    fields = {"judge": staticmethod(judge), "__doc__": judge.__doc__, "__module__": __name__}
    cls: Any = dataclass(frozen=True)(type("".join(map(str.capitalize, name.split("_"))), (Accuracy,), fields))
    globals()[cls.__name__] = REWARDS.add(name, **facts)(cls)  # where pickle finds it


_accuracy("reasoning_gym_accuracy", reasoning_gym_accuracy, paper="arXiv 2505.14970")
_accuracy("reasoning_gym_score", reasoning_gym_score)
_accuracy("math_accuracy", math_accuracy)
_accuracy("multiple_choice_accuracy", multiple_choice_accuracy)
_accuracy("exact_match", exact_match)

TRL_REWARDS = ("accuracy_reward", "reasoning_accuracy_reward", "think_format_reward", "get_soft_overlong_punishment")


def reward(spec: Any) -> RewardFunction:
    """
    Return the reward function that a spec stands for.

    Args:
        spec:
            A spec of `REWARDS` such as `"math_accuracy"` or `{"math_accuracy": {"boxed_bonus": 0.1}}`, a name that
            `trl grpo` knows, or a dotted import path such as `'my_lib.rewards.my_reward'` (the working directory is
            searched as well).
    """
    if not isinstance(spec, str):
        return REWARDS.make(spec)
    name, _ = REWARDS.parse(spec)
    if name in REWARDS.names():
        return REWARDS.make(spec)
    if name in TRL_REWARDS:
        function = getattr(importlib.import_module("trl.rewards"), name)
        # the values of `trl grpo`
        return function(1280, 256) if name == "get_soft_overlong_punishment" else function
    known = [*REWARDS.names(), *TRL_REWARDS]
    module, _, attribute = name.rpartition(".")
    if not module:
        raise ValueError(
            f"Unknown reward function '{name}'{nearest(name, known)}: "
            f"choose one of {known} or give a dotted import path."
        )
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Could not import the reward function '{name}': {error}.") from error
    if not callable(function):
        raise ValueError(f"'{name}' is a {type(function).__name__}, not a reward function.")
    return function


def _score_all(
    score: Callable[..., float | None],
    rows: Iterable[tuple[Any, ...]],
    log_metric: Callable[[str, float], None] | None,
) -> Rewards:
    rewards: Rewards = []
    failures = 0
    for row in rows:
        try:
            rewards.append(score(*row))
        except Exception:  # a completion that a scorer chokes on must not end the run
            rewards.append(None)
            failures += 1
    if log_metric is not None:  # always: TRL needs the same metrics on every rank
        log_metric("rewards/unscored", failures / max(1, len(rewards)))
    return rewards


def _score(completion: Completion, family: str | None, entry: str | None) -> float | None:
    if family is None or entry is None:
        return None
    values = json.loads(entry)
    scorer = _scorer(family, json.dumps(values.get("config", {}), sort_keys=True))
    answer = extract_answer(text_of(completion))
    if family in ARITHMETIC_FAMILIES:
        for latex, symbol in LATEX.items():
            answer = answer.replace(latex, symbol)
        if not re.fullmatch(r"[\d\s()+\-*/]{1,200}", answer) or "**" in answer or "//" in answer:
            return 0.0
    elif family in LITERAL_FAMILIES and not (is_literal(answer) and is_literal(values["answer"])):
        return float(answer in (values["answer"], *values["metadata"].get("valid_answers", ())))
    return float(scorer(answer, values))


@functools.lru_cache(maxsize=256)
def _scorer(family: str, config: str) -> Callable[[str, dict[str, Any]], float]:
    return load_family(family, **json.loads(config)).score_answer
