"""A pool of 600 candidates for four short tasks, of which a fifth is what one wants: clean, wrong, repeated and other.

Families of reasoning-gym as plain texts, `State the final answer to the following arithmetic problem: 24 + 12 =` and
` 36`. They were picked for short prompts (30 tokens at most), the target's also for answers of more than one token.

- clean: 30 right answers of each of the four target families
- duplicate: 10 more right answers of these, each in 15 wordings
- wrong: 130 prompts of the target families, each with another problem's answer
- off: 50 right answers of each of four other families
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trl_curriculum.data.tasks import reasoning_gym_dataset
from trl_curriculum.generators import Candidate, ProceduralGenerator
from trl_curriculum.rewards import reasoning_gym_accuracy


TASKS = {
    "chain_sum": {"min_terms": 2, "max_terms": 2, "min_digits": 2, "max_digits": 2},
    "spell_backward": {"min_word_len": 4, "max_word_len": 7},
    "products": {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2},
    "caesar_cipher": {"min_words": 2, "max_words": 3},
}
OTHERS = {
    "letter_counting": {"min_words": 3, "max_words": 5},
    "count_bits": {"max_n": 1023},
    "number_sequence": {},
    "sentence_reordering": {"min_words_in_sentence": 3, "max_words_in_sentence": 6},
}
KINDS = ("clean", "duplicate", "wrong", "off")
CLEAN, OFF, SEEDS, VALIDATION, TEST = 30, 50, 12, 12, 24  # of each family
WRONG, REPEATED = (33, 33, 32, 32), (3, 3, 2, 2)
WORDINGS = (
    "{}", "Q: {}", "{} A:", "Question: {}", "{} Answer:", "Task: {}", "{} Reply:", "Please: {}", "{} Result:",
    "Problem: {}", "{} Solution:", "Hi! {}", "{} Thanks!", "Exercise: {}", "{} Your answer:",
)  # fmt: skip


@dataclass(frozen=True)
class Pool:
    """
    Candidates with what is known of them, and the trusted rows.

    Args:
        rows (`list[Candidate]`):
            600 candidates in random order.
        kind, family (`list[str]`):
            Of each candidate.
        right (`list[bool]`):
            Whether the family's own scorer accepts its answer.
        validation, seeds (`list[Candidate]`):
            12 rows of each target family: the selection's target, and the proxy's warm-up.
    """

    rows: list[Candidate]
    kind: list[str]
    family: list[str]
    right: list[bool]
    validation: list[Candidate]
    seeds: list[Candidate]


def make_test() -> dict[str, list[Candidate]]:
    """24 distinct rows of each target family, the same for all pools."""
    return {family: [row for row, _ in _problems(family, TEST, 0, set())] for family in TASKS}


def make_pool(seed: int) -> Pool:
    """A pool; another seed draws other problems. No prompt occurs in the test or twice, but for the duplicates'."""
    taken = {str(row.prompt) for rows in make_test().values() for row in rows}
    made: list[tuple[str, str, Candidate, str]] = []  # kind, family, row, scorer's entry
    validation, seeds = [], []
    for family, wrong, repeated in zip(TASKS, WRONG, REPEATED, strict=True):
        right = _problems(family, VALIDATION + SEEDS + CLEAN + repeated, 2 * seed, taken)
        validation += [row for row, _ in right[:VALIDATION]]
        seeds += [row for row, _ in right[VALIDATION : VALIDATION + SEEDS]]
        made += [("clean", family, *one) for one in right[VALIDATION + SEEDS : -repeated]]
        for row, entry in right[-repeated:]:
            worded = [Candidate(text.format(row.prompt), row.completion, row.answer, row.source) for text in WORDINGS]
            made += [("duplicate", family, one, entry) for one in worded]
        made += [("wrong", family, *one) for one in _problems(family, wrong, 2 * seed + 1, taken, wrong=1.0)]
    for family in OTHERS:
        made += [("off", family, *one) for one in _problems(family, OFF, 2 * seed, taken)]
    made = [made[k] for k in np.random.default_rng(seed).permutation(len(made))]
    kind, family, rows, entries = (list(column) for column in zip(*made, strict=True))
    return Pool(rows, kind, family, list(_check(rows, family, entries)), validation, seeds)


def _problems(family: str, n: int, seed: int, taken: set[str], wrong: float = 0.0) -> list[tuple[Candidate, str]]:
    """n rows with what their scorer needs; their prompts are not among those `taken`, and are added to them."""
    spec = {"family": family, "size": 3 * n, "seed": seed, "config": (TASKS | OTHERS)[family]}
    entry = {row["prompt"][-1]["content"]: row["entry"] for row in reasoning_gym_dataset([spec], instruction=None)}
    generator = ProceduralGenerator(family, spec["config"], completion=" {answer}", wrong=wrong)
    found = []
    for row in generator.generate(spec["size"], seed).accepted:
        if row.prompt not in taken and len(found) < n:
            taken.add(str(row.prompt))
            found.append((row, entry[str(row.prompt)]))
    if len(found) < n:
        raise ValueError(f"{family} has only {len(found)} new problems of {n}.")
    return found


def _check(rows: list[Candidate], families: list[str], entries: list[str]) -> Iterator[bool]:
    boxed = [f"\\boxed{{{row.answer}}}" for row in rows]
    for score in reasoning_gym_accuracy(boxed, family=families, entry=entries):
        yield score == 1
