"""A language model that writes candidates, as a recipe names it."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from ..disk.fingerprint import weights_key
from ..lm.dtypes import check_dtype
from ..lm.engines import Sampling
from ..lm.load import ENGINES
from ..lm.transformers_engine import TransformersEngine
from ..registry import make_options, option
from .agreement import Agreement
from .base import GENERATORS, GeneratorMethod, Student
from .candidates import Candidate
from .few_shot import LanguageModelGenerator, check_agreement
from .templates import TEMPLATES, Template


@GENERATORS.add("language_model", paper="arXiv 2604.26170")
@dataclass(frozen=True)
class LanguageModel(GeneratorMethod):
    """
    A language model, by default the student itself, writes rows like a few of the examples.

    Raises:
        `ValueError`: where a model, an option of its back end or short answers to agree on are missing.

    Source: the generator of EvoSelect, arXiv 2604.26170, whose prompts and settings are not known to us.
    """

    model: str | None = option(None, "Name or path of what writes; default: the student.")
    back_end: str = option(
        "transformers",
        "What runs the model: `transformers`, `vllm` (an engine in this process) or `server` (a vLLM server).",
    )
    model_options: dict[str, Any] | None = option(
        None,
        "Arguments of the model's `from_pretrained` or of `vllm.LLM`; of the server, at least its `url`.",
    )
    template: Any = option("open_question", "Format of examples and texts: a spec of a template.")
    shots: int = option(4, "Examples in one prompt, drawn anew for each; all, where there are fewer.", least=1)
    sampling: dict[str, Any] | None = option(None, "Of the texts: `temperature`, `top_p`, `max_new_tokens`.")
    agreement: dict[str, Any] | None = option(
        None,
        "Answers each question again, and keeps rows on whose answer enough agree: `answers`, `share`, `compare`, "
        "and their `sampling`; default: no such stage.",
    )
    batch_size: int = option(16, "Texts written at once. Another size gives other texts.", least=1)
    attempts: int | None = option(
        None, "Texts at most, rounded up to whole batches; default: 10 per candidate that is wanted.", least=1
    )
    source: str = option("language model", "Of the candidates.")

    def check(self) -> None:
        if self.back_end not in ENGINES:
            raise ValueError(f"back_end={self.back_end!r} of language_model is none of {', '.join(ENGINES)}.")
        if self.model is None and self.back_end != "transformers":
            raise ValueError(f"language_model with back_end {self.back_end!r} needs a model: the student has none.")
        if self.model is None and self.model_options:
            raise ValueError("`model_options` of language_model are for a model of its own: set `model` as well.")
        if missing := ENGINES[self.back_end].missing(self.model_options):
            raise ValueError(
                f"language_model with back_end {self.back_end!r} needs {missing[0]} in its `model_options`."
            )
        for name in ("dtype", "torch_dtype"):
            check_dtype((self.model_options or {}).get(name), f"model_options: {name}")
        if "trust_remote_code" in (self.model_options or {}):
            raise ValueError("A generator runs no code of a model's repository: leave trust_remote_code out.")
        check_agreement(self.make_agreement(), self.make_template())
        self.make_sampling()

    def make_template(self, examples: Sequence[Candidate] = ()) -> Template:
        """The template, for candidates of the examples' kind where its options do not set another."""
        return TEMPLATES.make(self.template).like(examples)

    def make_sampling(self) -> Sampling:
        """How texts are sampled."""
        made: Sampling = make_options(Sampling, self.sampling or {}, "sampling")
        return made

    def make_agreement(self) -> Agreement | None:
        """The stage in which questions are answered again, if there is one."""
        if self.agreement is None:
            return None
        sampling = self.agreement.get("sampling")
        if not isinstance(sampling, dict | None):
            raise TypeError(f"sampling={sampling!r} in agreement must be a mapping of options.")
        again = make_options(Sampling, sampling or {}, "the sampling of agreement")
        made: Agreement = make_options(Agreement, {**self.agreement, "sampling": again}, "agreement")
        return made

    def located(self, find: Callable[[str], str]) -> Self:
        return self if self.model is None else dataclasses.replace(self, model=find(self.model))

    def depends_on(self) -> Any:
        return self.spec if self.model is None else dataclasses.replace(self, model=weights_key(self.model)).spec

    def make(self, student: Student, examples: Sequence[Candidate]) -> LanguageModelGenerator:
        if self.model is None:
            engine: Any = TransformersEngine(student.load(), student.tokenizer)
        else:
            engine = ENGINES[self.back_end].load(self.model, **(self.model_options or {}))
        return LanguageModelGenerator(
            engine,
            self.make_template(examples),
            examples,
            shots=min(self.shots, len(examples)),
            sampling=self.make_sampling(),
            agreement=self.make_agreement(),
            batch_size=self.batch_size,
            attempts=self.attempts,
            source=self.source,
        )
