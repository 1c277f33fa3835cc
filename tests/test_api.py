"""What users import, write into recipes and type: as literal lists, so that a change of any shows in the diff."""

import dataclasses
import importlib
import inspect
from typing import Any, get_args, get_type_hints

import pytest
from trl import GRPOConfig, ScriptArguments, SFTConfig

import trl_curriculum
from trl_curriculum.cli import COMMANDS
from trl_curriculum.cli.compare import CompareArguments
from trl_curriculum.cli.eval import EvalArguments
from trl_curriculum.cli.recipe import load_recipe
from trl_curriculum.cli.score import ScoreArguments
from trl_curriculum.families import FAMILIES
from trl_curriculum.rounds.selection import FeatureSettings
from trl_curriculum.scripts.arguments import CurriculumScriptArguments


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
        "CURRICULA",
        "CurriculumGRPOConfig",
        "CurriculumGRPOTrainer",
        "CurriculumSFTConfig",
        "CurriculumSFTTrainer",
        "Feedback",
        "Pool",
        "read_history",
    ],
    "trl_curriculum.curricula": [
        "CURRICULA",
        "ArmCurriculum",
        "ArmMethod",
        "Curriculum",
        "CurriculumMethod",
        "DifficultyCurriculum",
        "DifficultyMethod",
        "Draw",
        "RoundBegan",
        "RowCurriculum",
        "RowMethod",
        "SuccessCurriculum",
        "SuccessMethod",
        "SuccessRate",
        "AdaRFT",
        "ALPGMM",
        "BabySteps",
        "Competence",
        "CurES",
        "Cyclical",
        "DataMaps",
        "DUMP",
        "E2H",
        "EDCO",
        "EVOCurate",
        "GAINRL",
        "GRESO",
        "HIVE",
        "LILO",
        "LossTopK",
        "LZE",
        "Mixture",
        "MoPPS",
        "Order",
        "Placebo",
        "PUDF",
        "RMTTiers",
        "SEC",
        "SelfPaced",
        "UCB1",
        "Uniform",
        "WikiR1",
    ],
    "trl_curriculum.bundles": ["BUNDLES", "Bundle", "CEEH", "CurES", "DOT", "EDCOCode", "LightIF", "SPEAR"],
    "trl_curriculum.generators": [
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
    "trl_curriculum.probes": ["PROBES", "AngleConcentration", "PrefixEntropy", "Probe", "PromptEntropy", "RowLoss"],
    "trl_curriculum.rewards": [
        "REWARDS",
        "Accuracy",
        "FormatLength",
        "RLStruct",
        "Reward",
        "RewardFunction",
        "Rewards",
        "Tarot",
        "TemplateFormat",
        "exact_match",
        "math_accuracy",
        "multiple_choice_accuracy",
        "reasoning_gym_accuracy",
        "reasoning_gym_score",
        "reward",
    ],
    "trl_curriculum.rollouts": [
        "ROLLOUTS",
        "RolloutMethod",
        "AEPO",
        "Allocation",
        "CURE",
        "PromptAugmentation",
        "Refill",
        "Replay",
        "SelfImitation",
        "Temperature",
        "Truncate",
    ],
    "trl_curriculum.selection": [
        "SELECTION",
        "Features",
        "Potentials",
        "Selection",
        "Selector",
        "Sinkhorn",
        "SinkhornError",
        "distinct",
        "effective_size",
        "shares",
        "vendi",
        "Attribution",
        "Diversity",
        "AttrDiv",
        "EvoSelect",
        "Random",
        "Everything",
        "TSDS",
    ],
    "trl_curriculum.shaping": [
        "SHAPING",
        "Hooks",
        "Shaper",
        "Ares",
        "AttentionEntropy",
        "Budget",
        "Canon",
        "CEEH",
        "ClipB",
        "ClipCov",
        "DRPO",
        "Entrocraft",
        "EntropySFT",
        "KLCov",
        "Lead",
        "Pear",
        "PuzzleCraft",
        "Siren",
        "SNRTopP",
        "Spine",
        "TEARL",
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
    "trl_curriculum.gradients.capture": ["chosen_linears"],
    "trl_curriculum.lm.engines": ["Completion", "Engine", "Sampling", "TokenEntropy"],
    "trl_curriculum.lm.load": ["ENGINES"],
    "trl_curriculum.lm.embed": ["embed"],
    "trl_curriculum.data.clusters": ["cluster", "word_vectors"],
    "trl_curriculum.lm.transformers_engine": ["TransformersEngine"],
    "trl_curriculum.lm.vllm_engine": ["TrainerVLLMEngine", "VLLMEngine"],
    "trl_curriculum.disk.partial": ["by_length"],
    "trl_curriculum.probes.prefix_entropy": ["QUICK_ANSWER", "PrefixEntropy", "Scores", "prefix_entropy"],
    "trl_curriculum.probes.prompt_entropy": ["PromptEntropy", "prompt_entropy"],
    "trl_curriculum.lm.server_engine": ["ServerEngine"],
    "trl_curriculum.lm.entropy": ["aggregate", "exact_entropy", "truncated_entropy"],
    "trl_curriculum.evaluation.callback": ["LMEvalCallback", "LiveTasks"],
    "trl_curriculum.evaluation.measure": ["Score"],
    "trl_curriculum.evaluation.settings": ["EvaluationSettings", "LiveSettings"],
    "trl_curriculum.evaluation.code": ["pass_at_1", "pass_at_k"],
    "trl_curriculum.evaluation.rows": ["answer", "of_recipe", "question", "score"],
    "trl_curriculum.arms": ["ARMS", "ArmSource", "Clusters", "Columns", "make_arms"],
    "trl_curriculum.families": ["FAMILIES"],
    "trl_curriculum.registry": ["Method", "Registry", "make_options", "option"],
    "trl_curriculum.records": ["PoolMapping", "arm_state", "row_state", "value_state"],
    "trl_curriculum.selection.report": ["report"],
    "trl_curriculum.rounds.selection": ["FeatureSettings", "SelectionSettings", "gradient_features", "select_rows"],
    "trl_curriculum.data.smollm2": ["smollm2"],
    "trl_curriculum.data.streams": ["Stream", "Streams"],
    "trl_curriculum.data.tasks": ["disjoint", "reasoning_gym_dataset", "reasoning_gym_streams"],
    "trl_curriculum.recommend": ["Recommendation", "recommend"],
    "trl_curriculum.stream_pool": ["StreamPool"],
    "trl_curriculum.rounds": ["ROUNDS", "Evolution", "Evolve", "Job", "RoundMethod"],
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


# What a curriculum of one's own meets: its options, and what they are bound to.
METHOD = [
    "bind",
    "check",
    "cost",
    "follows",
    "name",
    "neighbours",
    "options",
    "paper",
    "probe",
    "signal",
    "spec",
    "summary",
    "trainers",
    "wants",
]
CURRICULUM = [
    "arm_names",
    "before_parts",
    "choice",
    "chooses_arms",
    "damaged",
    "declared",
    "drawn",
    "load_state_dict",
    "mapping_of",
    "metrics",
    "name",
    "observe",
    "observe_late",
    "observe_probe",
    "outlook",
    "own_mapping",
    "parts",
    "progress",
    "put_back",
    "row_arm",
    "rows_to_probe",
    "select",
    "start",
    "state_dict",
    "takes_estimated_arms",
    "takes_streams",
    "unfinished",
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
    "rewards": None,
    "scale": "group",
    "truncated": None,
}
POOL = {
    "size": REQUIRED,
    "arm": None,
    "arm_names": None,
    "difficulty": None,
    "row_hash": None,
    "estimated": None,
    "other_columns": None,
    "neighbours": None,
}


def test_what_a_curriculum_of_ones_own_meets() -> None:
    from trl_curriculum.curricula import Curriculum, CurriculumMethod, Draw

    assert [name for name in dir(CurriculumMethod) if not name.startswith("_")] == METHOD
    assert [name for name in dir(Curriculum) if not name.startswith("_")] == CURRICULUM
    assert list(defaults(CurriculumMethod.bind)) == ["self", "pool", "seed"]
    assert defaults(trl_curriculum.Feedback) == FEEDBACK
    assert defaults(trl_curriculum.Pool) == POOL
    assert list(defaults(Draw)) == ["row", "arm", "probability", "id", "events"]


# Methods by family: what recipes name, with the options that they set.
OF_ROWS = {"measure": "free", "refresh_steps": None}
OF_ARMS = {"outcome": None, "prior": None}
OF_BELIEFS = {"outcome": None, "prior": "arm", "keep": 0.99}
FORM = {"conversational": None, "system": None}
TEMPLATE = FORM | {"instruction": None, "chat": False, "stop": None}
METHODS: dict[str, dict[str, dict[str, Any]]] = {
    "bundles": {
        "ceeh": {"outcome": None},
        "cures": {"outcome": None},
        "dot": {"alpha": 3.0, "least": 32, "outcome": None},
        "edco_code": {"rounds": 5, "top_n": None, "order": "descending", "quick_answer": "zh"},
        "light_if": {"stage": "rl"},
        "spear": {"steps": 200},
    },
    "curricula": {
        "uniform": {},
        "mixture": {"weights": None, "temperature": 1.0},
        "order": {"mode": "easy_to_hard", "total_draws": None, "difficulty": "column"},
        "baby_steps": {"stages": 4, "difficulty": "column"},
        "competence": {"initial": 0.01, "duration": 0.5, "difficulty": "column"},
        "sec": {"alpha": 0.5, "tau": 1.0, "unsampled": "keep"} | OF_ARMS,
        "dump": {"window": 300, "tau": 0.1} | OF_ARMS,
        "ucb1": {"round_batches": 20, "levels": 3, "outcome": None},
        "adarft": {"alpha": 2.0, "beta": 0.5, "eta": 0.5, "start": 0.0, "outcome": None, "difficulty": "column"},
        "e2h": {
            "form": "gaussian",
            "beta": 0.5,
            "sigma": 0.5,
            "floor": None,
            "levels": None,
            "difficulty": "column",
        },
        "rmt_tiers": {"first": 0.3, "second": 0.7, "levels": 3, "difficulty": "column"},
        "gain_rl": {
            "step": 500.0,
            "alpha": 2.0,
            "beta": 0.5,
            "width": 1000.0,
            "subset": 1024,
            "outcome": None,
            "difficulty": "column",
        },
        "wiki_r1": {
            "sigma": 0.2,
            "alpha": 0.8,
            "neighbours": 100,
            "half_life": 1.0,
            "levels": False,
            "window": 300,
            "threshold": 0.55,
            "outcome": None,
        },
        "pudf": {
            "lower": None,
            "upper": 0.0,
            "scale": "logits",
            "response": "reward",
            "refresh_steps": None,
            "outcome": None,
            "difficulty": "column",
        },
        "greso": {"easy": 0.75, "hard": 0.5, "target": None, "outcome": None},
        "mopps": {"target": 0.5, "candidates": 8, "retain": 0.5} | OF_BELIEFS,
        "cures": {"tau": 0.1} | OF_BELIEFS,
        "lilo": {"share": 0.5, "best": 0.25, "every": 20} | OF_BELIEFS,
        "lze": {
            "share": 0.4,
            "least": 0.05,
            "momentum": 0.3,
            "decay": 0.9,
            "noise": 0.05,
            "passes": 2,
            "replay": 0.1,
        }
        | OF_BELIEFS,
        "self_paced": {"start": 0.5, "duration": 0.5} | OF_ROWS,
        "loss_top_k": {"share": 0.5} | OF_ROWS,
        "data_maps": {"region": "ambiguous", "share": 0.33} | OF_ROWS,
        "cyclical": {"start": 0.25, "end": 1.0, "alpha": 0.5, "measure": "free"},
        "evo_curate": {
            "variability": "none",
            "width": 0.25,
            "kappa": 0.5,
            "diversity": 0.0,
            "probe_share": 1.0,
            "replacement": True,
        }
        | OF_ROWS,
        "edco": {
            "rounds": 5,
            "top_n": None,
            "share": 0.25,
            "score_by": "prefix_entropy",
            "reprobe": "all",
            "optimizer": "reset",
            "order": "random",
            "tolerance": 0.5,
        },
        "alp_gmm": {"every": 250, "most": 10, "random": 0.2, "parameters": "arms", "outcome": None},
        "hive": {"candidates": 64, "hard": 0.5, "easy": 0.75, "least": 0.01, "outcome": None},
        "placebo": {"of": REQUIRED},
    },
    "arms": {
        "columns": {"names": REQUIRED, "order": None},
        "clusters": {"k": REQUIRED, "column": None, "seed": 0},
        "success_rate": {"bins": 5, "every": 5, "outcome": None},
    },
    "rollouts": {
        "allocation": {"rows": 0.5, "rule": "cures", "memory": 0.5, "outcome": None},
        "refill": {
            "tries": 4,
            "outcome": None,
            "max_tokens": None,
            "least": None,
            "most": None,
            "carry": False,
            "rescale": False,
        },
        "replay": {"size": 2048, "max_age": 10, "variance": 0.0, "outcome": None},
        "self_imitation": {"size": 2048, "max_age": 10, "steps": 200, "means": 10240},
        "aepo": {"target": 0.5, "high": 1.2, "low": 0.8, "groups": 0.25, "most": 60 / 2560, "least": 0.05},
        "cure": {"first": 4, "top": 20},
        "prompt_augmentation": {"templates": None},
        "temperature": {"start": REQUIRED, "end": None, "over": 1.0, "shape": "linear"},
        "truncate": {"alpha": 3.0, "least": 32, "right": 1.0, "outcome": None},
    },
    "shaping": {
        "ares": {"weight": 0.5, "window": 4, "quantile": 0.95, "momentum": 0.99, "outcome": None},
        "attention_entropy": {"start": -4.0, "end": 4.0, "depth": 0.5},
        "canon": {"by": "entropy", "mu": 1.0},
        "ceeh": {"bonus": 1.0, "length": 0.1, "outcome": None},
        "clip_b": {"mu": 2.5},
        "budget": {"weight": 0.6, "initial": 256, "decay": 0.7, "every": 150, "tell": None},
        "clip_cov": {"ratio": 0.0002, "low": 1.0, "high": 5.0},
        "drpo": {"shorter": 0.1, "tau": 10.0, "outcome": None},
        "entrocraft": {"low": 0.6, "high": 0.7, "last_low": 0.4, "last_high": 0.5},
        "entropy_sft": {"share": 0.2, "c": 1.0},
        "kl_cov": {"ratio": 0.002, "coef": 1.0, "dead_band": 0.001},
        "lead": {"floor": 0.3, "momentum": 0.95, "least": 1, "outcome": None},
        "pear": {"alpha": 1.0, "end": "</think>", "outcome": None},
        "puzzlecraft": {"scale": 4.0, "gamma": 0.5, "outcome": None},
        "siren": {"coef": 0.005, "quantile": 0.8},
        "snr_top_p": {"share": 0.9, "outcome": None},
        "spine": {"share": 0.2, "low": 0.1, "high": 0.5, "coef": 0.01},
        "tea_rl": {"scale": 10.0, "largest": 5.0, "coef": 1.0},
    },
    "probes": {
        "loss": {"batch_tokens": 16384},
        "angle_concentration": {"weight": 8.0, "max_length": 1024, "batch_tokens": 16384},
        "prompt_entropy": {"token_share": 1.0, "unit": "nats", "chat_template": None, "batch_tokens": 16384},
        "prefix_entropy": {
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
            "back_end": "auto",
            "back_end_options": None,
            "batch_tokens": 16384,
        },
    },
    "rewards": {
        "reasoning_gym_accuracy": {"boxed_bonus": 0.0},
        "reasoning_gym_score": {"boxed_bonus": 0.0},
        "math_accuracy": {"boxed_bonus": 0.0},
        "multiple_choice_accuracy": {"boxed_bonus": 0.0},
        "exact_match": {"boxed_bonus": 0.0},
        "format_length": {"longest": 3072, "knee": 0.5},
        "rl_struct": {"keys": REQUIRED},
        "tarot": {"weights": "uniform", "order": "easy_first"},
        "template_format": {},
    },
    "selection": {
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
            "neighbours": None,
            "density_neighbours": None,
            "seed": 0,
        },
        "random": {"seed": 0},
        "all": {},
    },
    "generators": {
        "file": {"share": 1.0, "path": REQUIRED},
        "language_model": {
            "share": 1.0,
            "model": None,
            "back_end": "transformers",
            "model_options": None,
            "template": "open_question",
            "shots": 4,
            "sampling": None,
            "agreement": None,
            "batch_size": 16,
            "attempts": None,
            "source": "language model",
        },
        "procedural": {
            "share": 1.0,
            **FORM,
            "family": REQUIRED,
            "config": None,
            "completion": "{answer}",
            "instruction": None,
            "wrong": 0.0,
        },
    },
    "rounds": {
        "evolve": {
            "rounds": 2,
            "candidates": 1000,
            "validation_share": 0.5,
            "selection": "evoselect",
            "keep": 0.2,
            "distinct": None,
            "features": None,
            "proxy": None,
            "near_duplicates": 0.7,
            "accuracy": "exact_match",
            "max_answer_tokens": 256,
        }
    },
    "templates": {
        "open_question": TEMPLATE | {"rationale": False},
        "multiple_choice": TEMPLATE | {"choices": 4, "rationale": True},
        "instruction": TEMPLATE,
    },
}
GROUPS = {  # entry points of plug-ins
    "bundles": "trl_curriculum.bundles",
    "curricula": "trl_curriculum.curricula",
    "arms": "trl_curriculum.arms",
    "rollouts": "trl_curriculum.rollouts",
    "shaping": "trl_curriculum.shaping",
    "probes": "trl_curriculum.probes",
    "rewards": "trl_curriculum.rewards",
    "selection": "trl_curriculum.selection",
    "generators": "trl_curriculum.generators",
    "rounds": "trl_curriculum.rounds",
    "templates": "trl_curriculum.templates",
}


def test_families() -> None:
    assert {family: registry.group for family, registry in FAMILIES.items()} == GROUPS
    assert list(FAMILIES) == list(METHODS)


@pytest.mark.parametrize("family", METHODS)
def test_methods_and_their_options(family: str) -> None:
    assert {name: defaults(cls) for name, cls in FAMILIES[family].built_in.items()} == METHODS[family]


# What options may say instead of numbers
CHOICES: dict[str, tuple[Any, ...]] = {
    "curricula.alp_gmm.parameters": ("arms", "difficulty"),
    "curricula.order.mode": ("easy_to_hard", "hard_to_easy", "blocked", "interleaved"),
    "curricula.order.difficulty": ("column", "probe"),
    "curricula.baby_steps.difficulty": ("column", "probe"),
    "curricula.competence.difficulty": ("column", "probe"),
    "curricula.adarft.difficulty": ("column", "probe"),
    "curricula.e2h.form": ("gaussian", "cosine"),
    "curricula.e2h.difficulty": ("column", "probe"),
    "curricula.rmt_tiers.difficulty": ("column", "probe"),
    "curricula.gain_rl.difficulty": ("column", "probe"),
    "curricula.pudf.difficulty": ("column", "probe"),
    "curricula.pudf.scale": ("logits", "pass_rates"),
    "curricula.pudf.response": ("reward", "loss"),
    "curricula.sec.unsampled": ("keep", "decay"),
    "curricula.mopps.prior": ("arm", "flat"),
    "curricula.data_maps.region": ("ambiguous", "hard", "easy"),
    "curricula.data_maps.measure": ("free", "probe"),
    "curricula.evo_curate.variability": ("none", "std", "std_after_first", "progress"),
    "curricula.edco.score_by": ("prefix_entropy", "loss", "random"),
    "curricula.edco.reprobe": ("all", "uncertain"),
    "curricula.edco.optimizer": ("reset", "keep"),
    "curricula.edco.order": ("random", "descending"),
    "rollouts.temperature.shape": ("linear", "cosine"),
    "probes.prefix_entropy.missing": ("renormalize", "lower", "upper"),
    "probes.prefix_entropy.unit": ("bits", "nats"),
    "probes.prompt_entropy.unit": ("bits", "nats"),
    "probes.prefix_entropy.back_end": ("auto", "transformers", "vllm", "server"),
    "rewards.tarot.weights": ("uniform", "var", "asce"),
    "rewards.tarot.order": ("easy_first", "hard_first"),
    "selection.evoselect.mode": ("joint", "alternate"),
}


@pytest.mark.parametrize("path", CHOICES)
def test_choices_of_options(path: str) -> None:
    family, name, option = path.split(".")
    assert get_args(get_type_hints(FAMILIES[family].get(name))[option]) == CHOICES[path]


EVALUATION: dict[str, Any] = {
    "tasks": (),
    "limit": None,
    "num_fewshot": None,
    "batch_size": 8,
    "apply_chat_template": False,
    "system_instruction": None,
    "gen_kwargs": None,
    "include_path": None,
    "confirm_run_unsafe_code": False,
    "seed": 1234,
}
EVAL: dict[str, Any] = EVALUATION | {
    "tasks": None,
    "model_name_or_path": None,
    "checkpoints": None,
    "model_revision": "main",
    "dtype": "auto",
    "trust_remote_code": False,
    "use_cpu": False,
    "back_end": "hf",
    "back_end_options": None,
    "out": None,
    "dry_run": False,
}
# Mappings in recipes: `back_end_options` of a server, `features`, `proxy`, and what is in `generators`.
MAPPINGS: dict[str, dict[str, Any]] = {
    "lm.server_engine.ServerEngine": {
        "url": REQUIRED,
        "model": None,
        "vocabulary": None,
        "timeout": 600.0,
        "retries": 5,
        "backoff": 1.0,
    },
    "evaluation.settings.LiveSettings": EVALUATION | {"every": 100},
    "rounds.selection.SelectionSettings": {
        "method": "evoselect",
        "keep": 0.2,
        "distinct": None,
        "features": FeatureSettings(),
    },
    "rounds.selection.FeatureSettings": {
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
    "generators.Sampling": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 256},
}


@pytest.mark.parametrize("path", MAPPINGS)
def test_mappings_in_recipes(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert defaults(getattr(importlib.import_module(f"trl_curriculum.{module}"), name)) == MAPPINGS[path]


def test_names_in_recipes() -> None:
    from trl_curriculum.generators import Agreement

    assert list(defaults(Agreement)) == ["answers", "share", "compare", "sampling"]


# Arguments of trainers and of scripts, besides those of TRL's.
CONFIG: dict[str, Any] = {
    "method": None,
    "curriculum": None,
    "arms": None,
    "difficulty_column": None,
    "on_data_change": "refuse",
    "unusable_rows": "refuse",
    "overwrite_output_dir": False,
    "probe": None,
    "rollouts": None,
    "shaping": None,
    "lm_eval": None,
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
        "loop": "evolve",
        "rounds": 2,
        "candidates": 1000,
        "validation_share": 0.5,
        "near_duplicates": 0.7,
        "selection": "evoselect",
        "keep": 0.2,
        "distinct": None,
        "features": None,
        "proxy": None,
        "grpo": None,
        "reward_funcs": None,
    },
    "select_rows.SelectScriptArguments": {  # those that all others share are not among its own
        "candidates": None,
        "targets": None,
        "examples": None,
        "selection": "evoselect",
        "keep": 0.2,
        "distinct": None,
        "features": None,
        "proxy": None,
        "unusable_rows": "refuse",
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
    "url": None,
    "probe": None,
    "unusable_rows": "refuse",
    "arms": None,
    "seed": 42,
}
COMPARE: dict[str, Any] = {
    "command": "grpo",
    "base": None,
    "output_dir": "comparison",
    "methods": None,
    "match": "steps",
    "metric": None,
    "jobs": 1,
    "simulate": None,
    "dry_run": False,
}


def test_commands() -> None:
    assert list(COMMANDS) == [
        *("grpo", "sft", "evolve", "select", "score", "compare", "eval", "report", "push", "methods", "recipes")
    ]


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
    made = defaults(CompareArguments)
    assert made.pop("seeds") is not None and made == COMPARE and CompareArguments().seeds == [0, 1, 2, 3, 4]
    assert defaults(EvalArguments) == EVAL
