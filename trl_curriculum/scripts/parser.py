"""The parser of recipe scripts and commands, whose help begins with what is not TRL's own."""

import argparse
import inspect
import typing
from collections.abc import Iterable
from typing import Any

from trl import TrlParser


UPSTREAM = ("trl", "transformers")  # whose dataclasses the arguments of others stand beside
NEEDED = ("model_name_or_path", "dataset_name", "output_dir")  # TRL's own that nearly every run gives


class RecipeParser(TrlParser):
    """
    [`~trl.TrlParser`] with a help in three parts: what nearly every run gives, what this package adds, and TRL's own.

    Several hundred arguments are TRL's; a usage that names all of them would hide the others.
    """

    def added(self) -> list[argparse.Action]:
        """The arguments that are declared here and not by TRL or transformers, in the order of their declaration."""
        classes: Iterable[Any] = self.dataclass_types
        names = [
            name
            for one in classes
            for cls in one.__mro__[::-1]
            if cls.__module__.split(".")[0] not in (*UPSTREAM, "builtins")
            for name in inspect.get_annotations(cls)
        ]
        return [action for action in self._actions if action.dest in names]

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ever, but that an argument that may be empty takes the word `null`, as it does in YAML."""
        found, others = super().parse_known_args(args, namespace)
        for name in self._may_be_empty():
            if getattr(found, name, None) in ("null", ["null"]):
                setattr(found, name, None)
        return found, others

    def _may_be_empty(self) -> set[str]:
        classes: Iterable[Any] = self.dataclass_types
        hints = {name: hint for one in classes for name, hint in typing.get_type_hints(one).items()}
        return {name for name, hint in hints.items() if type(None) in typing.get_args(hint)}

    def parts(self) -> dict[str, list[argparse.Action]]:
        """All arguments, by the part of the help that they belong to."""
        added = self.added()
        needed = [action for action in self._actions if action.dest in NEEDED and action not in added]
        rest = [action for action in self._actions if action not in added and action not in needed]
        return {"What nearly every run gives": needed, "Added by trl_curriculum": added, "TRL's own": rest}

    def format_usage(self) -> str:
        formatter = self._get_formatter()
        formatter.add_text(f"usage: {self.prog} [--config RECIPE] [--argument VALUE ...]")
        return formatter.format_help()

    def format_help(self) -> str:
        formatter = self._get_formatter()
        formatter.add_text(self.description)
        for title, actions in self.parts().items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        notes = (
            "--config takes a recipe: a file, or a name from `trl-curriculum recipes`. Its keys are these arguments; "
            "those on the command line win. A key `base` names a recipe that it starts from. An argument that may be "
            "empty takes the word null, as in YAML: it unsets what a recipe sets."
        )
        return f"{self.format_usage()}\n{notes}\n\n{formatter.format_help()}"
