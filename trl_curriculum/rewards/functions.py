"""Reward functions with TRL's signature, and the names that recipes call them by."""

import functools
import importlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ..data.tasks import load_family
from ..registry import nearest
from .answers import Completion, boxed, extract_answer, is_literal, marked, same_answer, text_of
from .base import REWARDS, Accuracy, RewardFunction, Rewards


# reasoning-gym evaluates answers to these families as code, so only what cannot be anything but data is let through.
ARITHMETIC_FAMILIES = ("countdown", "puzzle24")
LITERAL_FAMILIES = ("binary_matrix", "n_queens", "number_sorting", "spiral_matrix", "string_insertion")
LONGEST_ANSWER = 200  # characters of a short answer
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

    The gold answer is read off the column `answer`, or else `solution`, as the answer is off a completion (see
    [`~trl_curriculum.rewards.answers.extract_answer`]); it may be bare LaTeX, a number, or a list of which any counts.
    A gold answer that cannot be parsed gives `None` (not applicable), and so does a completion at which the scorer
    fails.
    """
    golds = answer if answer is not None else solution
    if golds is None:
        raise ValueError("`math_accuracy` needs the gold answers in a dataset column 'answer' or 'solution'.")
    _check_golds("math_accuracy", "answer" if answer is not None else "solution", golds)
    return _score_all(_math_score, zip(completions, golds, strict=True), log_metric)


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
    _check_golds("multiple_choice_accuracy", "right_letter", right_letter, str)
    texts = right_text if right_text is not None else [None] * len(right_letter)
    return [
        None if letter is None else float(_is_option(extract_answer(text_of(completion)), letter, text))
        for completion, letter, text in zip(completions, right_letter, texts, strict=True)
    ]


def exact_match(completions: list[Completion], answer: list[str | None] | None = None, **kwargs: Any) -> Rewards:
    r"""
    Reward 1.0 if the answer is the gold answer, as a text but for case and spaces or as a number, else 0.0.

    Both are read off as in [`~trl_curriculum.rewards.answers.same_answer`]. The gold answer is the column `answer`: a
    text, a number, or a list of which any counts. A row without one gets `None` (not applicable).
    """
    if answer is None:
        raise ValueError("`exact_match` needs the gold answers in a dataset column 'answer'.")
    _check_golds("exact_match", "answer", answer)
    return [
        float(any(same_answer(text_of(completion), gold) for gold in right)) if (right := _golds(value)) else None
        for completion, value in zip(completions, answer, strict=True)
    ]


def _golds(value: Any) -> list[str]:
    """The right answers of a row, as texts; none where it has none."""
    values = value if isinstance(value, list | tuple) else [value]
    return [text for one in values if one is not None and one == one and (text := str(one)).strip()]


def _check_golds(reward: str, column: str, golds: Iterable[Any], *kinds: type) -> None:
    """Refuses right answers that cannot be read."""
    kinds = kinds or (str, int, float, Decimal)
    for k, gold in enumerate(golds):
        for one in gold if isinstance(gold, list | tuple) else [gold]:
            if one is not None and not isinstance(one, kinds):
                wanted = "a text" if kinds == (str,) else "a text, a number, or a list of them"
                raise ValueError(
                    f"`{reward}` reads right answers in the column '{column}', and that of completion {k} is a "
                    f"{type(one).__name__} ({str(gold)[:60]}): make it {wanted}."
                )


def _math_score(completion: Completion, gold: Any) -> float | None:
    """TRL's verdict on a completion, of the best of its right answers."""
    from trl.rewards import accuracy_reward

    text, scores = text_of(completion), []
    for right in _golds(gold):
        wanted = f"\\boxed{{{_gold(right)}}}"
        forms = [text]
        if boxed(text) is None and len(short := extract_answer(text)) <= LONGEST_ANSWER:
            forms.append(f"\\boxed{{{short}}}")  # TRL reads an answer in LaTeX only
        for form in forms:
            score = accuracy_reward([[{"role": "assistant", "content": form}]], [wanted])[0]
            scores.append(score)
            if score is None or score == 1:
                break
        if scores[-1] == 0 and same_answer(text, right):  # in a spelling that TRL reads in golds only
            scores.append(1.0)
    return max((score for score in scores if score is not None), default=None)


def _gold(text: str) -> str:
    """The short answer of a right one; one of several lines that marks none is taken as it is."""
    return text if len(text.strip().splitlines()) > 1 and marked(text) is None else extract_answer(text)


def _is_option(answer: str, letter: str, text: str | None) -> bool:
    def words(part: str) -> str:
        return " ".join(part.strip(" \t\n.:*()[]").casefold().split())

    named = re.fullmatch(r"[(\[*]*([^\W\d_])[)\].:*]*(?:\s+(.*))?", answer.strip(), flags=re.DOTALL)
    if named and words(named[1]) == words(letter) and (named[2] is None or words(named[2]) == words(text or "")):
        return True
    return text is not None and len(words(text)) > 1 and words(answer) == words(text)


def _accuracy(name: str, judge: RewardFunction, *golds: str, **facts: Any) -> None:
    """Registers an accuracy under a name, with a function's docstring and the columns of its right answers."""
    fields = {"judge": staticmethod(judge), "golds": golds, "__doc__": judge.__doc__, "__module__": __name__}
    cls: Any = dataclass(frozen=True)(type("".join(map(str.capitalize, name.split("_"))), (Accuracy,), fields))
    globals()[cls.__name__] = REWARDS.add(name, **facts)(cls)  # where pickle finds it


_accuracy("reasoning_gym_accuracy", reasoning_gym_accuracy, "entry", paper="arXiv 2505.14970")
_accuracy("reasoning_gym_score", reasoning_gym_score, "entry")
_accuracy("math_accuracy", math_accuracy, "answer", "solution")
_accuracy("multiple_choice_accuracy", multiple_choice_accuracy, "right_letter", "answer")
_accuracy("exact_match", exact_match, "answer")

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


def _score(completion: Completion, family: str | None, entry: Any) -> float | None:
    if family is None or entry is None:
        return None
    values = entry if isinstance(entry, dict) else json.loads(entry)
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
