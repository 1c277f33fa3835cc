"""What users import, write into recipes and type: as literal lists, so that a change of any shows in the diff."""

import dataclasses
import importlib
import inspect
from typing import Any

import pytest
from trl import GRPOConfig, ScriptArguments, SFTConfig

import trl_curriculum
from trl_curriculum import named as registry
from trl_curriculum import rewards
from trl_curriculum.cli import COMMANDS
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.cli.score import ScoreArguments
from trl_curriculum.generators import specs
from trl_curriculum.scripts.arguments import CurriculumScriptArguments
from trl_curriculum.selection import SELECTORS


REQUIRED = "required"  # stands for a default that there is not


def defaults(made_by: Any, besides: Any = None) -> dict[str, Any]:
    """Arguments and their defaults, without those of another class and without what stands for itself."""
    known = {field.name for field in dataclasses.fields(besides)} if besides is not None else {}
    return {
        name: REQUIRED if parameter.default is parameter.empty else parameter.default
        for name, parameter in inspect.signature(made_by).parameters.items()
        if name not in known and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }


NAMES: dict[str, list[str]] = {
    "trl_curriculum": [
        "CurriculumGRPOConfig",
        "CurriculumGRPOTrainer",
        "CurriculumSFTConfig",
        "CurriculumSFTTrainer",
        "Feedback",
        "Pool",
        "available_curricula",
        "make_curriculum",
        "read_history",
    ],
    "trl_curriculum.curricula": [
        "DUMP",
        "EDCO",
        "SEC",
        "TD",
        "UCB1",
        "ArmCurriculum",
        "BabySteps",
        "Belief",
        "Boltzmann",
        "Carried",
        "Competence",
        "Curriculum",
        "Cyclical",
        "DataMaps",
        "DifficultyCurriculum",
        "Draw",
        "EVOCurate",
        "Estimator",
        "LossTopK",
        "MaxEntropy",
        "Mixture",
        "Order",
        "RowCurriculum",
        "RowHistory",
        "RowSampler",
        "SelfPaced",
        "SharedBelief",
        "SlidingWindow",
        "Uniform",
        "Utility",
        "expected_advantage",
        "identity",
        "percentile_rank",
        "ucb",
    ],
    "trl_curriculum.generators": [
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
    ],
    "trl_curriculum.gradients": [
        "CountSketch",
        "GradientFeatures",
        "Projection",
        "Rademacher",
        "Stored",
        "read_features",
        "write_features",
    ],
    "trl_curriculum.selection": [
        "SELECTORS",
        "Features",
        "Potentials",
        "Selection",
        "Sinkhorn",
        "SinkhornError",
        "attr_div",
        "attribution",
        "distinct",
        "diversity",
        "effective_size",
        "everything",
        "evoselect",
        "random",
        "shares",
        "tsds",
        "vendi",
    ],
    "trl_curriculum.trainers": [
        "CurriculumConfig",
        "CurriculumGRPOConfig",
        "CurriculumGRPOTrainer",
        "CurriculumSFTConfig",
        "CurriculumSFTTrainer",
    ],
}

# What recipes, evals and docs import from modules without an `__all__`.
ELSEWHERE: dict[str, list[str]] = {
    "trl_curriculum.curricula.parts.queues": ["Queues"],
    "trl_curriculum.lm.batches": ["Row", "collate"],
    "trl_curriculum.lm.losses": ["row_losses", "tokenize_examples"],
    "trl_curriculum.generators.specs": ["LanguageModelSpec", "check_shares", "check_spec", "make_generator"],
    "trl_curriculum.gradients.capture": ["chosen_linears"],
    "trl_curriculum.lm.engines": ["ENGINES", "Completion", "Engine", "Sampling", "TokenEntropy"],
    "trl_curriculum.lm.transformers_engine": ["TransformersEngine"],
    "trl_curriculum.lm.vllm_engine": ["TrainerVLLMEngine", "VLLMEngine"],
    "trl_curriculum.disk.partial": ["by_length"],
    "trl_curriculum.probes.prefix_entropy": ["QUICK_ANSWER", "PrefixEntropy", "Scores", "prefix_entropy"],
    "trl_curriculum.lm.server_engine": ["ServerEngine"],
    "trl_curriculum.lm.entropy": ["aggregate", "exact_entropy", "truncated_entropy"],
    "trl_curriculum.named": ["GROUP"],
    "trl_curriculum.registry": ["make_options"],
    "trl_curriculum.rewards": [
        "BoxedBonus",
        "exact_match",
        "math_accuracy",
        "multiple_choice_accuracy",
        "reasoning_gym_accuracy",
        "reasoning_gym_score",
        "reward",
    ],
    "trl_curriculum.selection.report": ["report"],
    "trl_curriculum.rounds.selection": ["SelectionSettings", "gradient_features", "select_rows"],
    "trl_curriculum.data.smollm2": ["smollm2"],
    "trl_curriculum.data.tasks": ["disjoint", "reasoning_gym_dataset"],
    "trl_curriculum.rounds.evolve": ["Evolution", "EvolveSettings"],
    "trl_curriculum.rounds.loop": ["Loop", "Round", "run_stages"],
    "trl_curriculum.rounds.stage": ["Stage"],
    "trl_curriculum.rounds.training": ["grpo_args"],
    "trl_curriculum.rounds.proxy": ["Proxy"],
    "trl_curriculum.rounds.select": ["FileSelection"],
}


@pytest.mark.parametrize("module", NAMES)
def test_names_of_modules(module: str) -> None:
    assert importlib.import_module(module).__all__ == NAMES[module]
    for name in NAMES[module]:
        getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", ELSEWHERE)
def test_names_without_a_list(module: str) -> None:
    found = vars(importlib.import_module(module))
    assert [name for name in ELSEWHERE[module] if name not in found] == []


# What a curriculum of one's own meets.
CURRICULUM = [
    "arm_names",
    "asks_for",
    "cost",
    "fresh_optimizer",
    "has_floor",
    "load_state_dict",
    "metrics",
    "needs",
    "observe",
    "observe_probe",
    "options",
    "paper",
    "probabilistic",
    "put_back",
    "replaces",
    "round",
    "rows_to_probe",
    "select",
    "signal",
    "state_dict",
    "uses",
    "waiting",
]
FEEDBACK = {
    "row": REQUIRED,
    "draw": REQUIRED,
    "step": REQUIRED,
    "reward": None,
    "advantage": None,
    "length": None,
    "loss": None,
    "entropy": None,
    "prefix_entropy": None,
    "rewards": None,
}
POOL = {"size": REQUIRED, "arm": None, "arm_names": None, "difficulty": None, "row_hash": None}


def test_what_a_curriculum_of_ones_own_meets() -> None:
    from trl_curriculum.curricula import Curriculum, Draw

    assert registry.GROUP == "trl_curriculum.curricula"  # entry points of plug-ins
    assert [name for name in dir(Curriculum) if not name.startswith("_")] == CURRICULUM
    assert defaults(trl_curriculum.Feedback) == FEEDBACK
    assert defaults(trl_curriculum.Pool) == POOL
    assert list(defaults(Draw)) == ["row", "arm", "probability", "id"]


# `curriculum_kwargs`
CURRICULA: dict[str, dict[str, Any]] = {
    "uniform": {},
    "mixture": {"weights": None, "temperature": 1.0},
    "order": {"mode": "easy_to_hard", "total_draws": None, "difficulty": "column"},
    "baby_steps": {"stages": 4, "difficulty": "column"},
    "competence": {"initial": 0.01, "duration": 0.5, "difficulty": "column"},
    "sec": {
        "alpha": 0.5,
        "tau": 1.0,
        "unsampled": "keep",
        "prior": None,
        "learn_from": "advantage",
        "success_bins": 0,
        "rebucket_every": 5,
    },
    "dump": {"window": 300, "tau": 0.1, "success_bins": 0, "rebucket_every": 5},
    "ucb1": {"round_batches": 20, "levels": 3, "c": 1.0},
    "self_paced": {"start": 0.5, "duration": 0.5, "measure": "free", "refresh_steps": None},
    "loss_top_k": {"share": 0.5, "measure": "free", "refresh_steps": None},
    "data_maps": {
        "region": "ambiguous",
        "share": 0.33,
        "observations": 2,
        "measure": "free",
        "refresh_steps": None,
    },
    "cyclical": {"start": 0.25, "end": 1.0, "alpha": 0.5, "measure": "free"},
    "evo_curate": {
        "measure": "free",
        "variability": "none",
        "fusion": "geometric",
        "capacity": "loss",
        "width": 0.25,
        "kappa": 0.5,
        "floor": 0.05,
        "diversity": 0.0,
        "refresh_steps": None,
        "probe_share": 1.0,
        "replacement": True,
    },
    "edco": {
        "rounds": 5,
        "top_n": None,
        "share": 0.25,
        "skip_top": 0.0,
        "score_by": "prefix_entropy",
        "reprobe": "all",
        "optimizer": "reset",
        "budget": None,
        "tolerance": 0.5,
        "max_age": 2,
        "pilot": 8,
    },
}


def test_curricula() -> None:
    assert list(registry.BUILT_IN) == list(CURRICULA)


@pytest.mark.parametrize("name", CURRICULA)
def test_options_of_curricula(name: str) -> None:
    expected = {"pool": REQUIRED} | CURRICULA[name] | {"seed": 0}
    assert list(defaults(registry.BUILT_IN[name]).items()) == list(expected.items())


# `method` and `method_kwargs` of a selection
SELECTION: dict[str, dict[str, Any]] = {
    "evoselect": {
        "steps": 50,
        "eta": None,
        "diversity": 0.3,
        "epsilon": 0.05,
        "mode": "joint",
        "tolerance": 1e-3,
    },
    "attribution": {},
    "diversity": {"clusters": None, "order": "small_first", "seed": 0},
    "attr_div": {"drop": 0.25, "clusters": None, "seed": 0},
    "tsds": {
        "alpha": 0.5,
        "scale": 5.0,
        "sigma": 0.75,
        "neighbours": 5000,
        "density_neighbours": 1000,
        "seed": 0,
    },
    "random": {"seed": 0},
    "all": {},
}


def test_selectors() -> None:
    found = {name: defaults(selector) for name, selector in SELECTORS.items()}
    for name, options in found.items():
        assert (options.pop("features"), options.pop("k")) == (REQUIRED, None if name == "all" else REQUIRED)
    assert found == SELECTION and list(found) == list(SELECTION)


# Mappings in recipes: `probe_kwargs`, `probe_vllm_kwargs`, `selection`, `proxy`, `generators` and what is in them.
MAPPINGS: dict[str, dict[str, Any]] = {
    "probes.prefix_entropy.PrefixEntropy": {
        "length": 128,
        "token_share": 0.2,
        "logprobs": None,
        "missing": "renormalize",
        "unit": "bits",
        "temperature": 0.0,
        "top_p": 1.0,
        "samples": 1,
        "quick_answer": "en",
        "chat_template": None,
        "seed": 0,
    },
    "lm.server_engine.ServerEngine": {
        "url": REQUIRED,
        "model": None,
        "vocabulary": None,
        "timeout": 600.0,
        "retries": 5,
        "backoff": 1.0,
    },
    "rounds.selection.SelectionSettings": {
        "method": "evoselect",
        "method_kwargs": None,
        "keep": 0.2,
        "distinct": None,
        "layers": "lora",
        "n_last": 4,
        "projection": "count_sketch",
        "dimension": 4096,
        "seed": 0,
        "batch_tokens": 8192,
    },
    "rounds.proxy.Proxy": {
        "model": None,
        "steps": 8,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "rank": 8,
        "adam": False,
    },
    "generators.FileGenerator": {"path": REQUIRED},
    "generators.ProceduralGenerator": {
        "family": REQUIRED,
        "config": None,
        "completion": "{answer}",
        "instruction": None,
        "system": None,
        "conversational": False,
        "wrong": 0.0,
    },
    "generators.specs.LanguageModelSpec": {
        "model": None,
        "back_end": "transformers",
        "model_kwargs": None,
        "template": "open_question",
        "template_kwargs": None,
        "shots": 4,
        "sampling": None,
        "agreement": None,
        "batch_size": 16,
        "attempts": None,
        "source": "language model",
    },
    "generators.Sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 256},
    "generators.OpenQuestion": {
        "instruction": None,
        "chat": False,
        "stop": None,
        "conversational": False,
        "system": None,
        "rationale": False,
    },
    "generators.MultipleChoice": {
        "instruction": None,
        "chat": False,
        "stop": None,
        "conversational": False,
        "system": None,
        "options": 4,
        "rationale": True,
    },
    "generators.InstructionResponse": {
        "instruction": None,
        "chat": False,
        "stop": None,
        "conversational": False,
        "system": None,
    },
}


@pytest.mark.parametrize("path", MAPPINGS)
def test_mappings_in_recipes(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert defaults(getattr(importlib.import_module(f"trl_curriculum.{module}"), name)) == MAPPINGS[path]


def test_names_in_recipes() -> None:
    from trl_curriculum.generators import Agreement

    assert list(specs.KINDS) == ["file", "procedural", "language_model"]
    assert list(specs.TEMPLATES) == ["open_question", "multiple_choice", "instruction"]
    assert list(defaults(Agreement)) == ["answers", "share", "compare", "sampling"]
    assert list(rewards.REWARDS) == [
        "reasoning_gym_accuracy",
        "reasoning_gym_accuracy_boxed",
        "reasoning_gym_score",
        "math_accuracy",
        "math_accuracy_boxed",
        "multiple_choice_accuracy",
        "exact_match",
    ]


# Arguments of trainers and of scripts, besides those of TRL's.
CONFIG: dict[str, Any] = {
    "curriculum": "uniform",
    "curriculum_kwargs": None,
    "arm_column": None,
    "difficulty_column": None,
    "on_data_change": "refuse",
    "probe_kwargs": None,
    "probe_back_end": "auto",
    "probe_vllm_kwargs": None,
    "probe_batch_tokens": 16384,
    "rollouts": None,
    "shaping": None,
}


def test_configs() -> None:
    assert defaults(trl_curriculum.CurriculumGRPOConfig, GRPOConfig) == CONFIG | {"answer_column": None}
    assert defaults(trl_curriculum.CurriculumSFTConfig, SFTConfig) == CONFIG | {"max_tokens": None}


def test_trainers() -> None:
    grpo, sft = trl_curriculum.CurriculumGRPOTrainer, trl_curriculum.CurriculumSFTTrainer
    assert {"curriculum", "args", "train_dataset", "reward_funcs", "model"} <= defaults(grpo).keys()
    assert {"curriculum", "args", "train_dataset", "data_collator", "model"} <= defaults(sft).keys()
    assert callable(grpo.history) and callable(sft.history)


SHARED: dict[str, Any] = {
    "tasks": None,
    "test_tasks": None,
    "task_size": None,
    "task_num_proc": None,
    "prompt_column": "prompt",
    "system_prompt": None,
    "instruction": None,
    "dataset_revision": None,
    "context_column": None,
    "options_column": None,
    "right_option_column": None,
    "difficulty_from": None,
    "eval_per_arm": False,
    "dry_run": False,
}
SCRIPTS: dict[str, dict[str, Any]] = {
    "grpo.CurriculumGRPOScriptArguments": {"reward_model_name_or_path": None, "reward_funcs": None},
    "sft.CurriculumSFTScriptArguments": {"completion_column": None},
    "evolve.EvolveScriptArguments": {
        "completion_column": None,
        "task_column": None,
        "short_answer_column": None,
        "accuracy": "exact_match",
        "max_answer_tokens": 256,
        "generators": None,
        "trusted": None,
        "rounds": 2,
        "candidates": 1000,
        "validation_share": 0.5,
        "near_duplicates": 0.7,
        "selection": None,
        "proxy": None,
        "grpo": None,
        "reward_funcs": None,
    },
    "select_rows.SelectScriptArguments": {  # those that all others share are not among its own
        "candidates": None,
        "targets": None,
        "examples": None,
        "method": "evoselect",
        "keep": 0.2,
        "selection": None,
        "proxy": None,
        "near_duplicates": None,
        "dry_run": False,
    },
}
SCORE: dict[str, Any] = {
    "out": None,
    "model_name_or_path": None,
    "model_revision": "main",
    "dtype": "auto",
    "trust_remote_code": False,
    "use_cpu": False,
    "back_end": "transformers",
    "url": None,
    "probe_kwargs": None,
    "probe_vllm_kwargs": None,
    "probe_batch_tokens": 16384,
    "arm_column": None,
    "seed": 42,
}


def test_commands() -> None:
    assert list(COMMANDS) == ["grpo", "sft", "evolve", "select", "score", "methods"]


@pytest.mark.parametrize("path", SCRIPTS)
def test_arguments_of_scripts(path: str) -> None:
    recipe, name = path.split(".")
    arguments = getattr(load_recipe(recipe), name)
    own = recipe == "select_rows"
    assert defaults(arguments, None if own else CurriculumScriptArguments) == SCRIPTS[path]
    assert issubclass(arguments, CurriculumScriptArguments) != own


def test_arguments_of_commands() -> None:
    assert defaults(CurriculumScriptArguments, ScriptArguments) == SHARED
    assert defaults(ScoreArguments, CurriculumScriptArguments) == SCORE
