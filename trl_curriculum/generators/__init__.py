"""Where the candidates of a generate, select, train loop come from. Wrong ones are rejected in counted stages."""

from ..lm.engines import Sampling
from .agreement import Agreement
from .base import GENERATORS, Generator, GeneratorMethod, Student, make_generators
from .candidates import Batch, Candidate, Rejected, save, to_dataset
from .duplicates import remove_duplicates
from .few_shot import LanguageModelGenerator, NothingUsableError
from .file import FileGenerator, load
from .language_model import LanguageModel
from .procedural import ProceduralGenerator
from .reading import from_dataset
from .templates import TEMPLATES, InstructionResponse, MultipleChoice, OpenQuestion, Template


__all__ = [
    "GENERATORS",
    "TEMPLATES",
    "Agreement",
    "Batch",
    "Candidate",
    "FileGenerator",
    "Generator",
    "GeneratorMethod",
    "InstructionResponse",
    "LanguageModel",
    "LanguageModelGenerator",
    "MultipleChoice",
    "NothingUsableError",
    "OpenQuestion",
    "ProceduralGenerator",
    "Rejected",
    "Sampling",
    "Student",
    "Template",
    "from_dataset",
    "load",
    "make_generators",
    "remove_duplicates",
    "save",
    "to_dataset",
]
