"""Generators from plain values, as a recipe names them."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..lm.engines import Sampling
from ..lm.load import ENGINES
from ..lm.transformers_engine import TransformersEngine
from ..registry import make_options, nearest
from .agreement import Agreement
from .candidates import Candidate, Generator
from .file import FileGenerator, check_file
from .language_model import LanguageModelGenerator, check_agreement, check_counts
from .procedural import ProceduralGenerator
from .templates import InstructionResponse, MultipleChoice, OpenQuestion, Template


TEMPLATES: dict[str, type[Template]] = {
    "open_question": OpenQuestion,
    "multiple_choice": MultipleChoice,
    "instruction": InstructionResponse,
}


@dataclass(frozen=True)
class LanguageModelSpec:
    """
    Options of a generator of kind `language_model`.

    Args:
        model (`str`, *optional*):
            Name or path of what writes. Default: the student.
        back_end (`str`, *optional*, defaults to `"transformers"`):
            What runs the model: `"transformers"`, `"vllm"` (an engine in this process) or `"server"` (a vLLM server).
        model_kwargs (`dict`, *optional*):
            Arguments of the model's `from_pretrained` or of `vllm.LLM`; with `"server"`, options of
            [`~trl_curriculum.lm.server_engine.ServerEngine`], at least `{"url": ...}`.
        template (`str`, *optional*, defaults to `"open_question"`):
            Format: `"open_question"`, `"multiple_choice"` or `"instruction"`.
        template_kwargs (`dict`, *optional*):
            Options of the template. Where they do not set `conversational` or `system`: see [`form_of`].
        shots (`int`, *optional*, defaults to `4`):
            Examples in one prompt (ours); all, where there are fewer.
        sampling (`dict`, *optional*):
            Options of [`Sampling`].
        agreement (`dict`, *optional*):
            Options of [`Agreement`], with those of its own `sampling` as a mapping. Default: no such stage.
        batch_size, attempts, source (*optional*):
            As in [`LanguageModelGenerator`].
    """

    model: str | None = None
    back_end: str = "transformers"
    model_kwargs: dict | None = None
    template: str = "open_question"
    template_kwargs: dict | None = None
    shots: int = 4
    sampling: dict | None = None
    agreement: dict | None = None
    batch_size: int = 16
    attempts: int | None = None
    source: str = "language model"

    def __post_init__(self) -> None:
        if self.back_end not in ENGINES:
            raise ValueError(f"back_end={self.back_end!r} of a generator is none of {', '.join(ENGINES)}.")
        if self.model is None and self.back_end != "transformers":
            raise ValueError(
                f"A generator with back_end {self.back_end!r} needs a model: the student itself has no engine."
            )
        if self.model is None and self.model_kwargs:
            raise ValueError("`model_kwargs` of a generator are for a model of its own: set `model` as well.")
        if missing := ENGINES[self.back_end].missing(self.model_kwargs):
            raise ValueError(f"A generator with back_end {self.back_end!r} needs {missing[0]} in its `model_kwargs`.")
        if "trust_remote_code" in (self.model_kwargs or {}):
            raise ValueError("A generator runs no code of a model's repository: leave trust_remote_code out.")
        if self.template not in TEMPLATES:
            near = nearest(self.template, TEMPLATES)
            raise ValueError(f"template={self.template!r}{near} is none of {list(TEMPLATES)}.")
        check_counts(self.shots, self.batch_size, self.attempts)
        check_agreement(self.make_agreement(), self.make_template())
        self.make_sampling()

    def make_template(self, examples: Sequence[Candidate] = ()) -> Template:
        """The template, for candidates of the examples' kind where its options do not set another."""
        options = form_of(examples, self.template_kwargs or {})
        made: Template = make_options(TEMPLATES[self.template], options, "template_kwargs")
        return made

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


KINDS: dict[str, type] = {
    "file": FileGenerator,
    "procedural": ProceduralGenerator,
    "language_model": LanguageModelSpec,
}
NEEDED = {"file": "path", "procedural": "family"}


def check_spec(spec: dict[str, Any], path_of: Callable[[str], str] = str) -> dict[str, Any]:
    """
    Finds mistakes in the specification of a generator, before any model is loaded.

    Args:
        spec (`dict`):
            `kind`; the `share` of the candidates that it writes (default: all); and options of that kind: those of
            [`FileGenerator`], [`ProceduralGenerator`] or [`LanguageModelSpec`].
        path_of (`Callable`, *optional*):
            Where a file's path leads to.

    Raises:
        `ValueError`, `TypeError` for a wrong type, `FileNotFoundError`: naming the mistake.
    """
    if not isinstance(spec, dict):
        raise TypeError(f"A generator is {spec!r}: give a mapping with `kind` and options of that kind.")
    kind, share = spec.get("kind"), spec.get("share", 1.0)
    if kind not in list(KINDS):
        raise ValueError(f"A generator has kind={kind!r}{nearest(str(kind), KINDS)}: choose one of {list(KINDS)}.")
    known = ("kind", "share", *inspect.signature(KINDS[kind]).parameters)
    for name in spec:
        if name not in known:
            raise ValueError(f"A generator of kind {kind!r} has no option {name!r}{nearest(str(name), known)}.")
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise ValueError(f"share={share!r} of a generator is not a share of the candidates in (0, 1].")
    needed = NEEDED.get(kind)
    if needed is not None and not isinstance(spec.get(needed), str):
        raise ValueError(f"A generator of kind {kind!r} needs a {needed}, a text; it has {spec.get(needed)!r}.")
    if kind == "file":
        check_file(path_of(spec["path"]))
    else:
        _made(spec)
    return spec


def check_shares(specs: Sequence[dict[str, Any]]) -> None:
    """
    Refuses generators whose shares do not sum to 1; without a `share`, a generator's is 1.

    Args:
        specs (`Sequence[dict]`):
            As [`check_spec`] takes them.

    Raises:
        `ValueError`: naming the sum.
    """
    total = sum(spec.get("share", 1.0) for spec in specs)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"The shares of {len(specs)} generators sum to {total:g} (none stands for 1): make it 1.")


def form_of(examples: Sequence[Candidate], options: dict[str, Any]) -> dict[str, Any]:
    """
    Options of a template or of [`ProceduralGenerator`], with `conversational` and `system` set as the examples are
    where the options do not set them.

    Args:
        examples (`Sequence[Candidate]`):
            The first tells whether candidates are messages; these get the system message that all examples share, if
            they do. Without examples: messages, if `system` is set.
        options (`dict`):
            What is set, which stays.
    """
    if not examples:
        return {"conversational": options.get("system") is not None, **options}
    form = {"conversational": not isinstance(examples[0].prompt, str), **options}
    systems = {_system(example) for example in examples}
    return {"system": systems.pop(), **form} if form["conversational"] and len(systems) == 1 else form


def make_generator(
    spec: dict[str, Any],
    examples: list[Candidate],
    tokenizer: Any,
    student: Callable[[], Any],
    path_of: Callable[[str], str] = str,
) -> Generator:
    """
    Makes a generator from its specification.

    Args:
        spec (`dict`):
            As [`check_spec`] takes it. A language model without `model` is the student.
        examples (`list[Candidate]`):
            What a language model is shown. Unless `conversational` and `system` are set, candidates that are written
            are of their kind, texts or messages, with the system message that they share (see [`form_of`]).
        tokenizer, student:
            The student's tokenizer, and what loads it as it is now.
        path_of (`Callable`, *optional*):
            Where a model's name or a file leads to.
    """
    check_spec(spec, path_of)
    if spec["kind"] == "file":
        return FileGenerator(path_of(spec["path"]))
    made = _made(spec, examples)
    if isinstance(made, ProceduralGenerator):
        return made
    if made.model is None:
        engine = TransformersEngine(student(), tokenizer)
    else:
        engine = ENGINES[made.back_end].load(path_of(made.model), **(made.model_kwargs or {}))
    return LanguageModelGenerator(
        engine,
        made.make_template(examples),
        examples,
        shots=min(made.shots, len(examples)),
        sampling=made.make_sampling(),
        agreement=made.make_agreement(),
        batch_size=made.batch_size,
        attempts=made.attempts,
        source=made.source,
    )


def _made(spec: dict[str, Any], examples: Sequence[Candidate] = ()) -> Any:
    """What a specification other than of a file describes: a procedural generator, or a [`LanguageModelSpec`]."""
    options = {name: value for name, value in spec.items() if name not in ("kind", "share")}
    if spec["kind"] == "procedural":
        options = form_of(examples, options)
    return make_options(KINDS[spec["kind"]], options, f"A generator of kind {spec['kind']!r}")


def _system(example: Candidate) -> str | None:
    if isinstance(example.prompt, str) or example.prompt[0]["role"] != "system":
        return None
    text: str = example.prompt[0]["content"]
    return text
