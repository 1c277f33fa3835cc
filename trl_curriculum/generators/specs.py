"""Generators from plain values, as a recipe names them."""

from collections.abc import Callable
from typing import Any

from ..registry import make_options
from ..suggest import nearest
from .agreement import Agreement
from .candidates import Candidate, Generator
from .file import FileGenerator
from .language_model import LanguageModelGenerator
from .procedural import ProceduralGenerator
from .templates import InstructionResponse, MultipleChoice, OpenQuestion
from .writers import Sampling, TransformersWriter, VLLMWriter, Writer


TEMPLATES: dict[str, type] = {
    "open_question": OpenQuestion,
    "multiple_choice": MultipleChoice,
    "instruction": InstructionResponse,
}
OPTIONS = {
    "file": ("path",),
    "procedural": ("family", "config", "completion", "instruction", "system", "conversational", "wrong"),
    "language_model": (
        "model",
        "back_end",
        "model_kwargs",
        "template",
        "template_kwargs",
        "shots",
        "sampling",
        "agreement",
        "batch_size",
        "attempts",
        "source",
    ),
}


def check_spec(spec: dict[str, Any]) -> dict[str, Any]:
    """
    Finds mistakes in the specification of a generator: `kind`, the `share` of the candidates that it writes (default:
    all), and options of that kind.

    Raises:
        `ValueError`: naming the mistake.
    """
    kind = spec.get("kind")
    if kind not in OPTIONS:
        raise ValueError(f"A generator has kind={kind!r}{nearest(str(kind), OPTIONS)}: choose one of {list(OPTIONS)}.")
    known = ("kind", "share", *OPTIONS[kind])
    for name in spec:
        if name not in known:
            raise ValueError(f"A generator of kind {kind!r} has no option {name!r}{nearest(name, known)}.")
    if not 0 < spec.get("share", 1.0) <= 1:
        raise ValueError(f"share={spec['share']} of a generator is not a share of the candidates in (0, 1].")
    if kind == "language_model":
        template = spec.get("template", "open_question")
        if template not in TEMPLATES:
            raise ValueError(f"template={template!r}{nearest(template, TEMPLATES)} is none of {list(TEMPLATES)}.")
        if spec.get("back_end", "transformers") not in ("transformers", "vllm"):
            raise ValueError(f"back_end={spec['back_end']!r} of a generator is neither 'transformers' nor 'vllm'.")
        if spec.get("back_end") == "vllm" and spec.get("model") is None:
            raise ValueError("A generator with back_end 'vllm' needs a model: the student itself has no engine.")
        make_options(Sampling, spec.get("sampling") or {}, "sampling")
    return spec


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
            What a language model is shown.
        tokenizer, student:
            The student's tokenizer, and what loads it as it is now.
        path_of (`Callable`, *optional*):
            Where a model's name or a file leads to.
    """
    options = {name: value for name, value in check_spec(spec).items() if name not in ("kind", "share")}
    if spec["kind"] == "file":
        return FileGenerator(path_of(options["path"]))
    if spec["kind"] == "procedural":
        return ProceduralGenerator(**options)
    model, back_end = options.pop("model", None), options.pop("back_end", "transformers")
    kwargs = options.pop("model_kwargs", None) or {}
    writer: Writer
    if model is None:
        writer = TransformersWriter(student(), tokenizer)
    else:
        writer = (VLLMWriter if back_end == "vllm" else TransformersWriter).load(path_of(model), **kwargs)
    template = TEMPLATES[options.pop("template", "open_question")](**(options.pop("template_kwargs", None) or {}))
    sampling = Sampling(**(options.pop("sampling", None) or {}))
    agreement = options.pop("agreement", None)
    if agreement is not None:
        again = Sampling(**(agreement.get("sampling") or {}))
        agreement = Agreement(**{**agreement, "sampling": again})
    options["shots"] = min(options.get("shots", 4), len(examples))
    return LanguageModelGenerator(writer, template, examples, sampling=sampling, agreement=agreement, **options)
