"""
Pages written from declarations: the methods, the commands, and what of TRL is taken. They are written by
`python -m trl_curriculum.report.tables`.

Plug-ins are left out: a page is the same wherever it is made.
"""

import json
import re
from pathlib import Path
from typing import Any

from ..disk.atomic import atomic_write
from ..families import FAMILIES, options, row
from ..options import Method
from ..trainers.taken import ARGUMENTS, BOTH, FIELDS, GRPO, SFT, Taken
from .commands import commands
from .markdown import link, table


ROOT = Path(__file__).resolve().parents[2]
MARKERS = {"README.md": "<!-- families -->", "docs/methods.md": "<!-- curricula -->"}
WHAT = {  # each family in a few words
    "bundles": "a paper that spans families, by one name",
    "curricula": "which row is trained on next",
    "arms": "where categories of rows come from",
    "rollouts": "how many and which completions are made of a row",
    "shaping": "how much a rollout or a token counts",
    "probes": "what is measured of rows before they are drawn",
    "rewards": "what a completion earns",
    "selection": "which candidates of a pool are kept",
    "generators": "who writes candidates",
    "rounds": "which stages repeat",
    "templates": "the form in which a model writes candidates",
}
WIDTH = 150  # characters of names in a line of README.md
FACTS = ("trainers", "signal", "extra cost", "paper")
OPTIONS = ("option", "type", "limits", "default", "what it does", "default from")
HEAD = """# Reference of the methods

Written by `make pages` from what the methods declare; `trl-curriculum methods NAME` prints the same. Formulas, and
when (not) to use each: [Methods](../methods.md) and [Selection](../selection.md).
"""
TRL_HEAD = """# What TRL takes, and what becomes of it

Written by `make pages` from `trl_curriculum/trainers/taken.py`. A test holds it against the constructors and configs
of the installed TRL and names what is new; others train with the fields and compare the weights with stock TRL's on
the same rows. What is refused is one sentence before training.
"""


def reference() -> str:
    """`docs/reference/methods.md`: of each family its methods, of each method its options."""
    parts = [HEAD]
    for family in FAMILIES:
        rows = [(_code(name), cls.summary(), *_facts(family, cls)) for name, cls in _methods(family)]
        parts.append(f"## {family.capitalize()}\n\n" + table(["name", "what it is", *FACTS], rows))
        for name, cls in _methods(family):
            if declared := options(cls):
                parts.append(f"### {name}\n\n" + table(OPTIONS, [_option(one) for one in declared]))
    return "\n".join(parts)


def families() -> str:
    """The table of README.md: what there is of each family."""
    rows = [
        (family, WHAT[family], _some([_code(name) for name, _ in _methods(family)], family)) for family in FAMILIES
    ]
    return table(["family", "what it decides", "built in"], rows)


def _some(names: list[str], family: str) -> str:
    """As many names as fit into a line of a table, and where the others are."""
    fit = [k for k in range(len(names) + 1) if len(", ".join(names[:k])) <= WIDTH]
    more = len(names) - fit[-1]
    rest = f", and [{more} more](docs/reference/methods.md#{family})" if more else ""
    return ", ".join(names[: fit[-1]]) + rest


def curricula() -> str:
    """The table of `docs/methods.md`: each curriculum with its signal, cost and paper."""
    rows = [
        (f"[{_code(name)}](#{name})", cls.signal, ", ".join(cls.trainers), cls.cost, link(cls.paper))
        for name, cls in _methods("curricula")
    ]
    return table(["curriculum", "what it follows", "trainers", "extra cost", "paper"], rows)


def front_page(readme: str) -> str:
    """`docs/index.md`: README.md, with links as they are from there and none to files beside the pages."""
    text = readme.replace("](docs/", "](").replace("](index.md)", "](quickstart.md)")
    return re.sub(r"\[(\w+)\]\(([A-Z]+\.md)\)", r"`\2`", text)


def taken() -> str:
    """`docs/reference/trl.md`: what TRL's trainers take, and what becomes of it."""
    parts = [TRL_HEAD]
    for trainer, config, topics in (("GRPO", "GRPOConfig", BOTH | GRPO), ("SFT", "SFTConfig", BOTH | SFT)):
        fields, arguments = FIELDS[config], ARGUMENTS[f"{trainer}Trainer"]
        parts.append(f"## Curriculum{trainer}Trainer\n")
        parts.append(_taken("argument", arguments))
        others = {name: one for name, one in fields.items() if one.note}
        parts.append(f"## Curriculum{config}\n\nOf {config}'s {len(fields)} fields these have more to be said:\n")
        parts.append(_taken("field", others))
        parts.append("All others are as in TRL:\n")
        parts.append(table(["about", "fields"], [(topic, _codes(names)) for topic, names in topics.items()]))
    return "\n".join(parts)


def _taken(what: str, entries: dict[str, Taken]) -> str:
    ordered = sorted(entries.items(), key=lambda item: (item[1].how, item[0]))
    return table([what, "taken", "how, or why not"], [(_code(name), one.how, one.note) for name, one in ordered])


def _codes(names: str) -> str:
    return ", ".join(map(_code, sorted(names.split())))


def pages(root: Path = ROOT) -> dict[Path, str]:
    """Every page that is written here, whole or between markers, as it should be."""
    readme, methods = root / "README.md", root / "docs" / "methods.md"
    between = {readme: _between(readme, MARKERS["README.md"], families())}
    return {
        root / "docs" / "reference" / "methods.md": reference(),
        root / "docs" / "reference" / "commands.md": commands(),
        root / "docs" / "reference" / "trl.md": taken(),
        methods: _between(methods, MARKERS["docs/methods.md"], curricula()),
        root / "docs" / "index.md": front_page(between[readme]),
        **between,
    }


def _between(page: Path, marker: str, text: str) -> str:
    before, _, after = page.read_text().split(marker)
    return f"{before}{marker}\n{text}{marker}{after}"


def _methods(family: str) -> list[tuple[str, type[Any]]]:
    return sorted(FAMILIES[family].built_in.items())


def _facts(family: str, cls: type[Method]) -> tuple[str, ...]:
    facts = row(family, cls)
    return facts["trainers"], getattr(cls, "signal", ""), facts["cost"], link(facts["paper"])


def _option(one: dict[str, Any]) -> tuple[str, ...]:
    default = "must be given" if one["needed"] else _code(json.dumps(one["default"]))
    return _code(one["name"]), one["type"], one["limits"], default, one["help"], one["source"]


def _code(text: str) -> str:
    return f"`{text}`"


def main() -> None:
    """Writes the pages that are not as they should be."""
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as draft:
                draft.write_text(text)
            print(f"{path.relative_to(ROOT)} written")


if __name__ == "__main__":
    main()
