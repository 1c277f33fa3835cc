"""Where the candidates of a generate, select, train loop come from. Wrong ones are rejected in counted stages."""

from ..lm.engines import Sampling
from .agreement import Agreement
from .candidates import Batch, Candidate, Generator, Rejected, from_dataset, save, to_dataset
from .duplicates import remove_duplicates
from .file import FileGenerator, load
from .language_model import LanguageModelGenerator, NothingUsableError
from .procedural import ProceduralGenerator
from .templates import InstructionResponse, MultipleChoice, OpenQuestion, Template


__all__ = [
    "Agreement",
    "Batch",
    "Candidate",
    "FileGenerator",
    "Generator",
    "InstructionResponse",
    "LanguageModelGenerator",
    "MultipleChoice",
    "NothingUsableError",
    "OpenQuestion",
    "ProceduralGenerator",
    "Rejected",
    "Sampling",
    "Template",
    "from_dataset",
    "load",
    "remove_duplicates",
    "save",
    "to_dataset",
]
