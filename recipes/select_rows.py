# /// script
# dependencies = [
#     "trl_curriculum",
#     "peft",
# ]
# ///

"""
Keep the rows of a pool that move a model towards a target task: selection by gradients, on files.

```bash
trl-curriculum select \
    --candidates pool.jsonl \
    --targets trusted.jsonl \
    --selection evoselect \
    --keep 0.2 \
    --model_name_or_path Qwen/Qwen2.5-0.5B-Instruct \
    --output_dir selected
```

Rows are JSONL, JSON, CSV or parquet with `prompt` and `completion`, or conversations, and, if there are several
subtasks or origins, `source`. The model is the proxy: a fresh adapter is warmed up on `examples` or, as in LESS, on a
twentieth of the pool, and its gradient of each row is what methods compare. `output_dir` gets
`evoselect/selected.parquet`, the most wanted first, with `score`, `row` (place in the pool) and the pool's own
columns, `evoselect/selection.json` and what the stages before left: stopped, the same command goes on, and another
method takes the same gradients. On several GPUs they are shared out. Of the training arguments only those of
precision, `seed` and `max_length` have an effect. To train on what is kept:

```bash
trl-curriculum sft --dataset_name selected/evoselect/selected.parquet --model_name_or_path Qwen/Qwen2.5-0.5B-Instruct
```
"""

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trl_curriculum.data.unusable import CHOICES, HELP, check_choice
from trl_curriculum.options import check_number
from trl_curriculum.scripts.arguments import mapping


if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig


@dataclass
class SelectScriptArguments:
    """
    Script arguments for the select script.

    Args:
        candidates (`list[str]`, *optional*):
            Files with the pool.
        targets (`str`, *optional*):
            File with trusted rows of the target task; candidates with a target's question are removed and counted.
        examples (`str`, *optional*):
            File with rows that the proxy is warmed up on. Default: a twentieth of the pool, 32 rows at least.
        selection (`str` or `dict`, *optional*, defaults to `"evoselect"`):
            How candidates are selected: a name, or `{name: {option: value}}`.
        keep (`float`, *optional*, defaults to `0.2`):
            Share of the candidates that is kept; above 1 their number.
        distinct (`float`, *optional*):
            Cosine above which a candidate is a near-duplicate of an earlier one and goes before selecting. Default:
            off.
        features (`dict`, *optional*):
            Options of [`~trl_curriculum.rounds.selection.FeatureSettings`], by which candidates are compared.
        proxy (`dict`, *optional*):
            Options of [`~trl_curriculum.rounds.proxy.Proxy`].
        unusable_rows (`str`, *optional*, defaults to `"refuse"`):
            What to do with rows that are no candidates, that cannot be encoded or that the chat template refuses:
            `"refuse"` them, or `"leave_out"`, with a warning.
        near_duplicates (`float`, *optional*):
            Word overlap above which a question repeats another or a target's, and goes. Default: off.
        dry_run (`bool`, *optional*, defaults to `False`):
            Whether to read the files, print the plan, and end before a model is loaded.
    """

    candidates: list[str] | None = field(
        default=None, metadata={"help": "Files with the pool: .jsonl, .json, .csv, .parquet."}
    )
    targets: str | None = field(default=None, metadata={"help": "File with trusted rows of the target task."})
    examples: str | None = field(default=None, metadata={"help": "File with rows that the proxy is warmed up on."})
    selection: dict[str, Any] | str | None = field(
        default="evoselect", metadata={"help": 'How to select, for example \'{"evoselect": {"diversity": 0.3}}\'.'}
    )
    keep: float = field(default=0.2, metadata={"help": "Share of the candidates that is kept, or their number."})
    distinct: float | None = field(default=None, metadata={"help": "Cosine above which near-duplicates go before."})
    features: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Options of the features, for example '{\"dimension\": 1024}'."}
    )
    proxy: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Options of the proxy, for example '{\"steps\": 8}'."}
    )
    near_duplicates: float | None = field(
        default=None, metadata={"help": "Word overlap above which a question repeats another, and goes."}
    )
    unusable_rows: str = field(default="refuse", metadata={"help": HELP, "choices": CHOICES})
    dry_run: bool = field(default=False, metadata={"help": "Print the plan and end before a model is loaded."})

    def __post_init__(self) -> None:
        if isinstance(self.candidates, str):
            self.candidates = [self.candidates]
        for name in ("candidates", "targets", "examples"):
            files = [getattr(self, name)] if name != "candidates" else self.candidates or []
            if any(file is not None and not file.strip() for file in files):
                raise ValueError(f"{name}={getattr(self, name)!r} holds an empty name: give the name of a file.")
        if self.near_duplicates is not None:
            limits = {"above": 0, "most": 1}
            check_number(self.near_duplicates, limits, f"near_duplicates={self.near_duplicates}")
        check_choice(self.unusable_rows)
        self.features = mapping(self.features, "features", {"dimension": 1024})
        self.proxy = mapping(self.proxy, "proxy", {"steps": 8})


def main(
    script_args: SelectScriptArguments,
    training_args: "SFTConfig",
    model_args: "ModelConfig",
    num_processes: int | None = None,
) -> None:
    from trl_curriculum.data.load import load_rows
    from trl_curriculum.generators import load
    from trl_curriculum.generators.file import load_placed
    from trl_curriculum.generators.reading import in_one_form
    from trl_curriculum.registry import make_options
    from trl_curriculum.rounds.proxy import Proxy
    from trl_curriculum.rounds.select import FileSelection
    from trl_curriculum.rounds.selection import FeatureSettings, SelectionSettings
    from trl_curriculum.scripts.train import check_output_dir, model_to_load
    from trl_curriculum.stdout import say_once
    from trl_curriculum.trainers.limits import refuse_out_of_range

    if not script_args.dry_run:
        check_output_dir(training_args, model_args, resumable=False)

    if not script_args.candidates or script_args.targets is None:
        raise ValueError("Give the pool as --candidates and the target task's trusted rows as --targets.")
    refuse_out_of_range(training_args)
    features: Any = script_args.features
    given: Any = script_args.proxy
    settings = SelectionSettings(
        script_args.selection,
        script_args.keep,
        script_args.distinct,
        make_options(FeatureSettings, features, "features"),
    )
    how = (script_args.unusable_rows, training_args.process_index == 0)
    own, place, candidates = [], [], []
    for file in script_args.candidates:
        usable, places = load_placed(file, *how)
        place += [len(own) + k for k in places]
        candidates += usable
        own += load_rows(file)
    targets = load(script_args.targets, *how)
    examples = load(script_args.examples, *how) if script_args.examples is not None else None
    if len({isinstance(row.prompt, str) for row in [*candidates, *targets, *(examples or ())]}) > 1:
        say_once("Some rows are texts and others messages: all become messages.")
        candidates, targets, warmed = in_one_form(candidates, targets, examples or [])
        examples = warmed if examples is not None else None
    model = model_to_load(model_args, training_args)
    proxy: Proxy = make_options(Proxy, {"model": model} | given, "proxy")
    kwargs = {name: value for name, value in (training_args.model_init_kwargs or {}).items() if value is not None}
    training_args.model_init_kwargs = None  # the proxy is given a model
    method = settings.method.name
    k = len(candidates) if method == "all" else settings.n_kept(len(candidates))
    if training_args.process_index == 0:
        print(f"{method} keeps {k} of {len(candidates)} candidates at most, for {len(targets)} targets")
    if script_args.dry_run:
        return
    job = FileSelection(
        candidates,
        targets,
        examples,
        settings,
        proxy,
        training_args,
        script_args.near_duplicates,
        kwargs,
        script_args.unusable_rows,
        own,
        place,
    )
    folder = job.run()
    if training_args.process_index == 0:
        print(f"The rows that are kept: {folder / 'selected.parquet'}")


def make_parser(subparsers: argparse._SubParsersAction | None = None, prog: str | None = None) -> Any:
    from trl import ModelConfig, SFTConfig

    from trl_curriculum.scripts.parser import RecipeParser

    dataclass_types: Any = (SelectScriptArguments, SFTConfig, ModelConfig)
    if subparsers is not None:
        return subparsers.add_parser("select", help="Run the select script", dataclass_types=dataclass_types)
    return RecipeParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.scripts.launch import run_script

    run_script(main, make_parser())
