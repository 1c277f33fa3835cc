# /// script
# dependencies = [
#     "trl_curriculum[evals]",
#     "peft",
#     "trackio",
#     "kernels",
# ]
# ///

"""
Adapt a model to a task in rounds of generate, select, train (EvoSelect), from a few trusted examples.

```bash
trl-curriculum evolve --config recipes/evolve/cpu/evoselect_sums.yaml
```

The examples are the rows to train on of the other scripts (`tasks`, or a dataset); held-out rows score the model
before and after each round. The other arguments are those of `trl-curriculum sft` and say how a round trains. A run
that was stopped goes on where it was.
"""

import argparse
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from trl_curriculum.scripts.arguments import CurriculumScriptArguments, mapping


if TYPE_CHECKING:
    from trl import ModelConfig

    from trl_curriculum import CurriculumSFTConfig
    from trl_curriculum.data.entries import MixtureConfig
    from trl_curriculum.rounds import RoundMethod


@dataclass
class EvolveScriptArguments(CurriculumScriptArguments):
    """
    Script arguments for the evolve script, besides those of [`CurriculumScriptArguments`].

    Args:
        completion_column (`str`, *optional*):
            Column of the dataset with plain answers.
        task_column (`str`, *optional*):
            Column that names the subtask of an example: scores are reported for each.
        short_answer_column (`str`, *optional*):
            Column with the short answers that the model's own are compared with; that of the completions may be one,
            and is one of `tasks`. Default: `answer`, where it is there.
        accuracy (`str`, *optional*, defaults to `"exact_match"`):
            Reward function that judges the model's own answers to held-out rows, `none` for losses only.
        max_answer_tokens (`int`, *optional*, defaults to `256`):
            Tokens of such an answer at most.
        generators (`list[str or dict]`, *optional*):
            Where candidates come from: names, or `{name: {option: value}}` in YAML and JSON on the command line. A
            `share` is that of the candidates that each writes.
        trusted (`int`, *optional*):
            How many of the rows are trusted examples, drawn by the seed. Default: all.
        loop (`str` or `dict`, *optional*, defaults to `"evolve"`):
            What is repeated: a name, or `{name: {option: value}}`. The options of `evolve` are arguments of their own.
        rounds (`int`, *optional*, defaults to `2`):
            Rounds.
        candidates (`int`, *optional*, defaults to `1000`):
            Candidates that are wanted in each.
        validation_share (`float`, *optional*, defaults to `0.5`):
            Share of the examples that is the selection's target; the others are shown to generators.
        near_duplicates (`float`, *optional*, defaults to `0.7`):
            Word overlap above which a candidate repeats another row.
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
        grpo (`dict`, *optional*):
            Options of [`CurriculumGRPOConfig`]: then the rounds train by GRPO. What the recipe sets for all trainers
            and curricula holds there too, but for the learning rate.
        reward_funcs (`list[str]`, *optional*):
            Rewards of GRPO, by the column `answer`; see [`~trl_curriculum.rewards.reward`].
    """

    completion_column: str | None = field(default=None, metadata={"help": "Column with plain answers."})
    task_column: str | None = field(default=None, metadata={"help": "Column that names the subtask of an example."})
    short_answer_column: str | None = field(default=None, metadata={"help": "Column with short answers."})
    accuracy: str = field(default="exact_match", metadata={"help": "Reward that judges the model's own answers."})
    max_answer_tokens: int = field(default=256, metadata={"help": "Tokens of such an answer at most."})
    generators: list[str] | None = field(
        default=None, metadata={"help": 'Generators, for example \'{"procedural": {"family": "chain_sum"}}\'.'}
    )
    trusted: int | None = field(default=None, metadata={"help": "How many of the rows are trusted examples."})
    loop: dict[str, Any] | str | None = field(
        default="evolve", metadata={"help": "What is repeated: a name, or a name with its options."}
    )
    rounds: int = field(default=2, metadata={"help": "Rounds of generate, select, train."})
    candidates: int = field(default=1000, metadata={"help": "Candidates that are wanted in each round."})
    validation_share: float = field(default=0.5, metadata={"help": "Share of the examples that selection aims at."})
    near_duplicates: float = field(default=0.7, metadata={"help": "Word overlap above which a row repeats another."})
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
    grpo: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Options of GRPO, by which the rounds then train instead of SFT."}
    )
    reward_funcs: list[str] | None = field(default=None, metadata={"help": "Names of GRPO's reward functions."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.features = mapping(self.features, "features", {"dimension": 1024})
        self.proxy = mapping(self.proxy, "proxy", {"steps": 8})
        self.grpo = mapping(self.grpo, "grpo", {"num_generations": 8})
        if bool(self.grpo) != bool(self.reward_funcs):
            raise ValueError("GRPO as the rounds' trainer takes both, its options `grpo` and its `reward_funcs`.")
        for name in ("difficulty_from", "eval_per_arm"):
            if getattr(self, name):
                raise ValueError(f"{name}={getattr(self, name)!r} has no effect on rounds: leave it out.")

    def method(self) -> "RoundMethod":
        """What is repeated, with its options; refuses arguments that it does not have."""
        from trl_curriculum.rounds import ROUNDS, Evolve

        given = {one.name: getattr(self, one.name) for one in fields(Evolve)}
        default = {one.name: one.default for one in fields(Evolve)}
        given["accuracy"] = None if self.accuracy == "none" else self.accuracy
        method = ROUNDS.make(self.loop, **given)
        for name, value in given.items():
            if name not in method.options and (value or None) != default[name]:
                raise ValueError(f"{name}={value!r} is an option of evolve, not of {method.name}: leave it out.")
        return method


def main(
    script_args: EvolveScriptArguments,
    training_args: "CurriculumSFTConfig",
    model_args: "ModelConfig",
    dataset_args: "MixtureConfig",
    num_processes: int | None = None,
) -> None:
    import numpy as np
    from trl import get_peft_config

    from trl_curriculum.generators import from_dataset, make_generators
    from trl_curriculum.generators.reading import in_one_form
    from trl_curriculum.lm.loading import check_folder
    from trl_curriculum.rewards import reward
    from trl_curriculum.rounds import Job
    from trl_curriculum.rounds.rows import usable_examples
    from trl_curriculum.rounds.training import grpo_args
    from trl_curriculum.scripts.data import load_examples, locate
    from trl_curriculum.scripts.train import check_model, check_output_dir, model_path, model_to_load

    if not script_args.dry_run:
        check_output_dir(training_args, model_args, resumable=False)

    def find(name: str) -> str:
        return locate(model_path(name))

    check_model(model_args)
    proxy: Any = script_args.proxy
    if proxy.get("model") is not None:
        proxy["model"] = find(proxy["model"])
        check_folder(proxy["model"], "proxy.model")
    method = script_args.method()
    wanted = method.generates or script_args.generators
    generators = make_generators(script_args.generators, find) if wanted else ()
    lora = get_peft_config(model_args)
    if lora is None:
        raise ValueError("The rounds train one adapter: set use_peft, lora_r and the like.")
    if model_args.load_in_4bit or model_args.load_in_8bit:
        raise ValueError("Rounds merge their adapter into the model's weights: leave out load_in_4bit, load_in_8bit.")
    if training_args.eval_strategy != "no":
        raise ValueError("Rounds are scored at their end: leave out eval_strategy.")
    reward_funcs = [reward(name) for name in script_args.reward_funcs or []]
    by_grpo: Any = script_args.grpo
    args = grpo_args(training_args, by_grpo) if by_grpo or reward_funcs else training_args
    method.refuse_training(args)
    rows, test = load_examples(script_args, dataset_args, training_args.seed, script_args.completion_column)
    rows = usable_examples(rows, "the training dataset", training_args)
    test = usable_examples(test, "the test dataset", training_args) if test is not None else None
    short = script_args.short_answer_column
    if script_args.tasks or (short is not None and short == script_args.completion_column):
        short = "completion"  # into which that column was made
    columns = (script_args.task_column, short)
    n = len(rows) if script_args.trusted is None else script_args.trusted
    if not 2 <= n <= len(rows):
        raise ValueError(f"trusted={n} of {len(rows)} rows: take 2 to as many as there are.")
    drawn = np.random.default_rng(training_args.seed).permutation(len(rows))[:n]
    drawn = np.arange(n) if n == len(rows) else drawn
    examples = from_dataset(rows.select(drawn), *columns, drawn)
    held_out = from_dataset(test, *columns) if test is not None else []
    examples, held_out = in_one_form(examples, held_out)
    if training_args.process_index == 0:
        names = ", ".join(f"{one.name} {one.share:.0%}" for one in generators)
        print(
            f"{model_args.model_name_or_path}: {method.plan()}{f' ({names})' if names else ''}, for "
            f"{'GRPO' if reward_funcs else 'SFT'}; {len(examples)} trusted examples, {len(held_out)} held out"
        )
    if script_args.dry_run:
        return
    student = model_to_load(model_args, training_args)
    kwargs = {name: value for name, value in (training_args.model_init_kwargs or {}).items() if value is not None}
    args.model_init_kwargs = None  # the rounds are given models
    adapter = method.run(Job(student, args, lora, examples, held_out, generators, kwargs, reward_funcs))
    if training_args.process_index == 0:
        print(f"💾 Adapter saved to {adapter}.")


def make_parser(subparsers: argparse._SubParsersAction | None = None, prog: str | None = None) -> Any:
    from trl import ModelConfig

    from trl_curriculum import CurriculumSFTConfig
    from trl_curriculum.data.entries import MixtureConfig
    from trl_curriculum.scripts.parser import RecipeParser

    dataclass_types: Any = (EvolveScriptArguments, CurriculumSFTConfig, ModelConfig, MixtureConfig)
    if subparsers is not None:
        return subparsers.add_parser("evolve", help="Run the evolve script", dataclass_types=dataclass_types)
    return RecipeParser(dataclass_types, prog=prog)


if __name__ == "__main__":
    from trl_curriculum.scripts.launch import run_script

    run_script(main, make_parser())
