"""Candidates from a language model that is shown a few trusted examples."""

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..disk.fingerprint import fingerprint
from ..lm.engines import Completion, Engine, Prompt, Sampling
from ..rewards.answers import normalized
from .agreement import Agreement
from .candidates import Batch, Candidate, Rejected
from .templates import Template
from .text_cache import TextCache


logger = logging.getLogger(__name__)

ATTEMPTS = 10  # texts per candidate that is wanted


class NothingUsableError(ValueError):
    """Not one of the texts that were written is a candidate."""


def check_counts(shots: int, batch_size: int, attempts: int | None) -> None:
    """Refuses counts below 1."""
    if min(shots, batch_size, 1 if attempts is None else attempts) < 1:
        raise ValueError(f"shots={shots}, batch_size={batch_size} and attempts={attempts}: give at least 1 of each.")


def check_agreement(agreement: Agreement | None, template: Template) -> None:
    """Refuses an agreement on answers that the format has not."""
    if agreement is not None and not template.has_answer:
        raise ValueError(
            f"{type(template).__name__} has no short answers, on which others could agree: leave `agreement` out."
        )


class LanguageModelGenerator:
    """
    Has a language model write rows like a few of the examples, drawn anew for each, until enough are accepted.

    A text goes through separate stages, each of which is counted: `"format"` (the template's strict parser),
    `"duplicates"` (the same question as an example or as an earlier candidate; near-duplicates are a later stage, see
    [`~trl_curriculum.generators.remove_duplicates`]) and, if asked for, `"agreement"`.

    Args:
        engine ([`~trl_curriculum.lm.engines.Engine`]):
            What writes.
        template ([`Template`]):
            Format of examples and texts.
        examples (`Sequence[Candidate]`):
            Trusted rows of the target task.
        shots (`int`, *optional*, defaults to `4`):
            Examples in one prompt, at most as many as there are (ours).
        sampling ([`Sampling`], *optional*):
            Of the texts.
        agreement ([`Agreement`], *optional*):
            Whether questions are answered again, by the same engine with examples drawn anew. Default: they are not.
        batch_size (`int`, *optional*, defaults to `16`):
            Texts written at once (ours). Another size gives other texts.
        attempts (`int`, *optional*):
            Texts at most, rounded up to whole batches. Default: 10 per candidate that is wanted (ours).
        source (`str`, *optional*, defaults to `"language model"`):
            Of the candidates.

    Raises:
        `ValueError`: for examples that do not fit the template, or prompts that do not fit the engine's window.

    Source: the generator of EvoSelect, arXiv 2604.26170, whose prompts and settings are not known to us.
    """

    def __init__(
        self,
        engine: Engine,
        template: Template,
        examples: Sequence[Candidate],
        shots: int = 4,
        sampling: Sampling | None = None,
        agreement: Agreement | None = None,
        batch_size: int = 16,
        attempts: int | None = None,
        source: str = "language model",
    ) -> None:
        if not examples:
            raise ValueError("There are no examples: give at least one trusted row of the target task.")
        check_counts(shots, batch_size, attempts)
        if shots > len(examples):
            raise ValueError(f"shots={shots} of {len(examples)} examples: show 1 to as many as there are.")
        check_agreement(agreement, template)
        self.engine, self.template, self.examples = engine, template, list(examples)
        self.shots, self.sampling, self.agreement = shots, sampling or Sampling(), agreement
        self.batch_size, self.attempts, self.source = batch_size, attempts, source
        self._check_window()

    def generate(self, n: int, seed: int = 0, folder: str | Path | None = None, disable_tqdm: bool = False) -> Batch:
        """
        At most n candidates: fewer, with a warning, where the attempts did not suffice.

        The global random generators are not used. A larger n goes on where a smaller one ended.

        Args:
            n (`int`):
                How many are wanted.
            seed (`int`, *optional*, defaults to `0`):
                Of the examples' draws and of the sampling.
            folder (`str` or `Path`, *optional*):
                Where texts are kept, in a file named by the model's weights, the options and the seed: a call that is
                killed goes on after its last whole batch, and the same call again writes nothing anew.

        Raises:
            [`NothingUsableError`]: if not one text is a candidate, with the counts by reason.
        """
        if n < 1 or seed < 0:
            raise ValueError(f"n={n} and seed={seed}: ask for at least one candidate, with a seed from 0 on.")
        batches = -(-(self.attempts if self.attempts is not None else ATTEMPTS * n) // self.batch_size)
        kept = TextCache(Path(folder) / f"written-{self._key(seed)}.jsonl" if folder is not None else None)
        seen = {normalized(example.question): "copy of an example" for example in self.examples}
        batch = Batch([], [])
        with tqdm(total=n, desc="Candidates", disable=disable_tqdm, leave=False) as bar:
            for number in range(batches):
                batch = batch + self._batch(number, seed, seen, kept)
                bar.update(min(len(batch.accepted), n) - bar.n)
                bar.set_postfix_str(f"{len(batch.rejected)} rejected", refresh=False)
                if len(batch.accepted) >= n:
                    break
        reasons = ", ".join(f"{count} {reason}" for reason, count in batch.counts().items())
        if not batch.accepted:
            raise NothingUsableError(
                f"None of {len(batch.rejected)} texts of {self.source!r} is a candidate ({reasons}): read some of them"
                f"{f' in {kept.file}' if kept.file else ''}, then change the template, the examples or the model. The "
                f"first: {batch.rejected[0].text[:200]!r}"
            )
        if len(batch.accepted) < n:
            texts = len(batch.accepted) + len(batch.rejected)
            logger.warning("%d of %d candidates after %d texts (%s).", len(batch.accepted), n, texts, reasons)
        more = dict.fromkeys(range(n, len(batch.accepted)), ("more than asked for", ""))
        return batch.without("surplus", more)

    # One batch

    def _batch(self, number: int, seed: int, seen: dict[str, str], kept: TextCache) -> Batch:
        rng = np.random.default_rng([seed, number])
        prompts = [self.template.build(self._draw(rng)) for _ in range(self.batch_size)]
        seeds = rng.integers(2**31, size=len(prompts)).tolist()
        written, seconds = kept.get(f"batch {number}", lambda: self._write(prompts, seeds, self.sampling))
        rejected: list[Rejected] = []
        found: list[tuple[Candidate, str]] = []
        for one in written:
            row = self.template.parse(one.text, one.ended)
            if isinstance(row, str):
                rejected.append(Rejected("format", row, one.text, self.source))
                continue
            question = normalized(row.question)
            if question in seen:
                rejected.append(Rejected("duplicates", seen[question], one.text, self.source))
                continue
            seen[question] = "duplicate"
            found.append((dataclasses.replace(row, source=self.source), one.text))
        tokens = sum(one.tokens for one in written)
        if self.agreement is None or not found:
            return Batch([row for row, _ in found], rejected, tokens, seconds)
        checked = self._agree(number, found, self.agreement, rng, kept)
        return Batch([], rejected, tokens, seconds) + checked

    def _agree(
        self,
        number: int,
        found: list[tuple[Candidate, str]],
        agreement: Agreement,
        rng: np.random.Generator,
        kept: TextCache,
    ) -> Batch:
        asked = [row for row, _ in found for _ in range(agreement.answers)]
        prompts = [self.template.ask(self._draw(rng), row) for row in asked]
        seeds = rng.integers(2**31, size=len(prompts)).tolist()
        written, seconds = kept.get(f"answers {number}", lambda: self._write(prompts, seeds, agreement.sampling))
        read = [self.template.read_answer(row, one.text, one.ended) for row, one in zip(asked, written, strict=True)]
        accepted: list[Candidate] = []
        rejected: list[Rejected] = []
        for k, (row, text) in enumerate(found):
            others = read[k * agreement.answers : (k + 1) * agreement.answers]
            if agreement.reached(row.answer or "", others):
                accepted.append(row)
            else:
                reason = "answers disagree" if any(others) else "no answer could be read"
                rejected.append(Rejected("agreement", reason, text, self.source, f"other answers: {others}"))
        return Batch(accepted, rejected, sum(one.tokens for one in written), seconds)

    def _draw(self, rng: np.random.Generator) -> list[Candidate]:
        return [self.examples[k] for k in rng.choice(len(self.examples), self.shots, replace=False)]

    def _write(self, prompts: list[Prompt], seeds: list[int], sampling: Sampling) -> tuple[list[Completion], float]:
        """A text for each prompt; one whose prompt is too long (its question is, of those to answer) is empty."""
        start = time.monotonic()
        ids = [self.engine.encode(prompt) for prompt in prompts]
        written = [Completion("", 0, False)] * len(ids)
        fits = [k for k, one in enumerate(ids) if self._fits(len(one), sampling)]
        for begin in range(0, len(fits), self.batch_size):
            part = fits[begin : begin + self.batch_size]
            texts = self.engine.complete(
                [ids[k] for k in part], sampling, [seeds[k] for k in part], self.template.stops
            )
            for k, text in zip(part, texts, strict=True):
                written[k] = text
        return written, time.monotonic() - start

    # Before the first

    def _fits(self, tokens: int, sampling: Sampling) -> bool:
        return self.engine.window is None or tokens + sampling.max_new_tokens <= self.engine.window

    def _check_window(self) -> None:
        """Refuses prompts that do not fit, by the longest that can be drawn."""
        length = {k: len(self.engine.encode(self.template.render(one))) for k, one in enumerate(self.examples)}
        longest = sorted(length, key=lambda k: -length[k])[: self.shots]
        tokens = len(self.engine.encode(self.template.build([self.examples[k] for k in longest])))
        if not self._fits(tokens, self.sampling):
            raise ValueError(
                f"A prompt of {self.shots} examples has up to {tokens} tokens, and {self.sampling.max_new_tokens} are "
                f"to be written, but the model's window is {self.engine.window}: show fewer or shorter examples, or "
                "write less."
            )

    def _key(self, seed: int) -> str:
        options = (self.template, self.examples, self.shots, self.sampling, self.agreement, self.batch_size, seed)
        return fingerprint((self.engine.identity(), *options))
