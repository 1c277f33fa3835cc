"""Duplicates among candidates, copies of examples, and leaks of held-out rows: by their texts."""

import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ..rewards.answers import normalized
from .candidates import Batch, Candidate


# Chinese and Japanese are written without spaces: there a letter stands for a word. Signs count: 7 + 5 is not 7 - 5.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\u3040-\u30ff\u3400-\u9fff]+|[^\w\s]")
ENDS = " .?。:"  # a question without its mark is the same question; but 5! is not 5
NGRAM = 3  # words of an n-gram (ours: questions are short); a shorter text is one n-gram
KINDS = ("held-out row", "example", "candidate")


def remove_duplicates(
    batch: Batch,
    examples: Sequence[Candidate] = (),
    validation: Sequence[Candidate] = (),
    threshold: float = 0.7,
) -> Batch:
    """
    A batch without candidates that repeat a held-out row (stage `"leakage"`), an example or an earlier candidate
    that is kept (stage `"duplicates"`).

    Questions are compared. Two are equal if they differ in case, spaces and a mark at the end only, and
    near-duplicates where the Jaccard index of their sets of word 3-grams reaches the threshold; the index is exact.
    Takes seconds for 100,000 short questions.

    Args:
        batch ([`Batch`]):
            Candidates.
        examples, validation (`Sequence[Candidate]`, *optional*):
            Rows that the generator was shown, and rows that the model is judged by.
        threshold (`float`, *optional*, defaults to `0.7`):
            Jaccard index from which questions are near-duplicates (ours); 1 leaves those with the same n-grams.
            An instruction that all prompts share makes them alike: raise it then.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold={threshold} is not a Jaccard index in (0, 1].")
    start = time.monotonic()
    groups = list(zip(KINDS, (validation, examples, batch.accepted), strict=True))
    rows = [(group, k, one.question) for group, (_, some) in enumerate(groups) for k, one in enumerate(some)]
    likeness = like_an_earlier([row[2] for row in rows], [row[0] for row in rows], threshold)
    leaked: dict[int, tuple[str, str]] = {}
    repeated: dict[int, tuple[str, str]] = {}
    for k, like in enumerate(likeness[len(validation) + len(examples) :]):
        if like is not None:
            kind, number = KINDS[rows[like.row][0]], rows[like.row][1]
            into = leaked if kind == "held-out row" else repeated
            into[k] = _reason(kind, like.exact), f"{kind} {number}, Jaccard index {like.jaccard:.2f}"
    after = batch.without("leakage", leaked, time.monotonic() - start)
    place = {k: new for new, k in enumerate(k for k in range(len(batch.accepted)) if k not in leaked)}
    return after.without("duplicates", {place[k]: why for k, why in repeated.items()})


def _reason(kind: str, exact: bool) -> str:
    if kind == "candidate":
        return "duplicate" if exact else "near-duplicate"
    return f"{'copy of' if exact else 'near'} {'an example' if kind == 'example' else 'a held-out row'}"


@dataclass(frozen=True)
class Like:
    """Which row a text is like, whether they are equal, and the Jaccard index of their n-grams."""

    row: int
    exact: bool
    jaccard: float


def like_an_earlier(texts: Sequence[str], group: Sequence[int], threshold: float) -> list[Like | None]:
    """
    What each text is like: of the texts of the first group, else of the second, …, an equal one if there is one, else
    the nearest from the threshold on; the first in a tie.

    Only texts of the last group (2) are looked at, which are compared with all of the others and with earlier ones of
    their own that are like none.

    Sets of Jaccard index t or more share one of the rarest |A| - ⌈t |A|⌉ + 1 n-grams of each, so only texts that share
    such a one are compared (prefix filtering; Chaudhuri et al. 2006, Bayardo et al. 2007).
    """
    cleaned = [normalized(text).rstrip(ENDS) for text in texts]
    sets = [_ngrams(text) for text in cleaned]
    count = Counter(gram for one in sets for gram in one)
    by_gram: dict[tuple[str, ...], list[int]] = defaultdict(list)
    found: list[Like | None] = []
    for row, (text, grams) in enumerate(zip(cleaned, sets, strict=True)):
        rarest = sorted(grams, key=lambda gram: (count[gram], gram))
        reach = rarest[: len(grams) - math.ceil(threshold * len(grams) - 1e-9) + 1]
        best: Like | None = None
        if KINDS[group[row]] == "candidate":
            near = {other for gram in reach for other in by_gram.get(gram, ())}
            likes = [Like(other, cleaned[other] == text, _jaccard(grams, sets[other])) for other in near]
            best = min(
                (like for like in likes if like.jaccard >= threshold),
                key=lambda like: (group[like.row], not like.exact, -like.jaccard, like.row),
                default=None,
            )
        found.append(best)
        if best is None:
            for gram in reach:
                by_gram[gram].append(row)
    return found


def _ngrams(text: str) -> set[tuple[str, ...]]:
    words = WORD.findall(text)
    return {tuple(words[k : k + NGRAM]) for k in range(max(1, len(words) - NGRAM + 1))}


def _jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    shared = len(one & other)
    return shared / (len(one) + len(other) - shared)
