from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig, SFTConfig

from ..lm.engines import ENGINES
from ..probes.prefix_entropy import PrefixEntropy
from ..registry import make_options


BACK_ENDS = ("auto", *ENGINES)
DICT_FIELDS = ("curriculum_kwargs", "probe_kwargs", "probe_vllm_kwargs")


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@dataclass
class CurriculumConfig:
    """
    Arguments that every curriculum trainer has.

    Parameters:
        curriculum (`str`, *optional*, defaults to `"uniform"`):
            Name of the curriculum that chooses the rows; `trl-curriculum methods` lists them.
        curriculum_kwargs (`dict[str, Any]`, *optional*):
            Options of the curriculum, for example `{"tau": 0.2}`.
        arm_column (`list[str]`, *optional*):
            Dataset column that names each row's arm (category); several columns make joint arms.
        difficulty_column (`str`, *optional*):
            Numeric dataset column, larger is harder.
        on_data_change (`str`, *optional*, defaults to `"refuse"`):
            What to do when a run is resumed on other data: `"refuse"`, or `"carry_over"`, which matches rows by their
            content and reports how many were kept, are new and were lost.
        probe_kwargs (`dict[str, Any]`, *optional*):
            What a prefix entropy is, for example `{"length": 32, "quick_answer": None}`: options of
            [`~trl_curriculum.probes.prefix_entropy.PrefixEntropy`].
        probe_back_end (`str`, *optional*, defaults to `"auto"`):
            What generates prefixes: `"transformers"`; `"vllm"`: GRPO's own vLLM, in SFT an engine of its own;
            `"server"`: a vLLM server that loads new weights from disk; `"auto"`: GRPO's vLLM where it has one,
            transformers otherwise.
        probe_vllm_kwargs (`dict[str, Any]`, *optional*):
            With `"server"`: options of [`~trl_curriculum.lm.server_engine.ServerEngine`], at least `{"url": ...}`.
            With `"vllm"` in SFT: arguments of TRL's `VLLMGeneration`, such as `{"gpu_memory_utilization": 0.3}`.
        probe_batch_tokens (`int`, *optional*, defaults to `16384`):
            Tokens, padding included, of one batch with which a probe measures losses or generates prefixes.
    """

    curriculum: str = field(
        default="uniform",
        metadata={"help": "Curriculum that chooses the rows; `trl-curriculum methods` lists them."},
    )
    curriculum_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Options of the curriculum, for example '{\"tau\": 0.2}'."},
    )
    arm_column: list[str] | None = field(
        default=None,
        metadata={"help": "Column that names each row's arm (category); several columns make joint arms."},
    )
    difficulty_column: str | None = field(
        default=None,
        metadata={"help": "Numeric column, larger is harder."},
    )
    on_data_change: str = field(
        default="refuse",
        metadata={
            "help": "What to do when a run is resumed on other data.",
            "choices": ["refuse", "carry_over"],
        },
    )
    probe_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": 'What a prefix entropy is, for example \'{"length": 32, "quick_answer": null}\'.'},
    )
    probe_back_end: str = field(
        default="auto",
        metadata={
            "help": "What generates the prefixes of prefix entropies.",
            "choices": list(BACK_ENDS),
        },
    )
    probe_vllm_kwargs: dict[str, Any] | str | None = field(
        default=None,
        metadata={"help": "Options of the vLLM server that a probe asks, or of the engine that it starts in SFT."},
    )
    probe_batch_tokens: int = field(
        default=16384,
        metadata={"help": "Tokens, padding included, of one batch with which a probe measures rows."},
    )

    def __post_init__(self) -> None:
        if isinstance(self.arm_column, str):
            self.arm_column = [self.arm_column]
        if self.arm_column is not None and not all(isinstance(name, str) for name in _as_list(self.arm_column)):
            raise ValueError(f"arm_column={self.arm_column!r} is not the name of a column, or a list of names.")
        if self.on_data_change not in ("refuse", "carry_over"):
            raise ValueError(f"on_data_change={self.on_data_change!r} is neither 'refuse' nor 'carry_over'.")
        parent = getattr(super(), "__post_init__", None)
        if parent is not None:
            parent()  # which also reads JSON where a mapping is expected
        for name, example in (
            ("curriculum_kwargs", {"tau": 0.2}),
            ("probe_kwargs", {"length": 32}),
            ("probe_vllm_kwargs", {"url": "http://localhost:8000"}),
        ):
            if not isinstance(getattr(self, name), dict | None):
                raise ValueError(f"{name}={getattr(self, name)!r} is not a mapping of options such as {example}.")
        options: Any = self.probe_kwargs or {}
        make_options(PrefixEntropy, options, "probe_kwargs")
        if self.probe_back_end not in BACK_ENDS:
            raise ValueError(f"probe_back_end={self.probe_back_end!r} is none of {', '.join(BACK_ENDS)}.")
        if self.probe_batch_tokens < 1:
            raise ValueError(f"probe_batch_tokens={self.probe_batch_tokens} must be at least 1.")
        reserved = {"curriculum", "pool", "seed"} & set(self.curriculum_kwargs or ())
        if reserved:
            raise ValueError(
                f"curriculum_kwargs has {min(reserved)!r}, which the trainer sets itself (the seed is data_seed or "
                "seed); leave it out."
            )


def prefix_entropy_of(args: CurriculumConfig) -> PrefixEntropy:
    """What the arguments say a prefix entropy is."""
    assert isinstance(args.probe_kwargs, dict | None)
    return PrefixEntropy(**(args.probe_kwargs or {}))


def own_config(args: Any, model: Any, config: type[CurriculumConfig], trainer: str, suffix: str) -> Any:
    """The arguments, which must be a `config`; without any, its defaults, with an output folder as TRL names it."""
    if args is None:
        name = model if isinstance(model, str) else model.config._name_or_path
        args = config(f"{name.split('/')[-1]}-{suffix}")
    if not isinstance(args, config):
        raise TypeError(f"args is a {type(args).__name__}; {trainer} takes a {config.__name__}.")
    return args


@dataclass
class CurriculumGRPOConfig(CurriculumConfig, GRPOConfig):
    """
    [`~trl.GRPOConfig`] with the arguments of a curriculum.

    See [`CurriculumConfig`] for what is added; everything else is TRL's.

    Parameters:
        answer_column (`str`, *optional*):
            Column with reference answers, for curricula that ask for the loss of rows.
    """

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, *DICT_FIELDS]

    answer_column: str | None = field(
        default=None,
        metadata={"help": "Column with reference answers, for curricula that ask for the loss of rows."},
    )


@dataclass
class CurriculumSFTConfig(CurriculumConfig, SFTConfig):
    """
    [`~trl.SFTConfig`] with the arguments of a curriculum and a budget of tokens; everything else is TRL's.

    Parameters:
        max_tokens (`int`, *optional*):
            Training ends with the optimizer step that reaches this many input tokens (without padding, all processes,
            what TRL logs as `num_tokens`), and the learning rate follows its schedule over tokens instead of steps;
            a warm-up is then given as a share (`warmup_steps` below 1). So runs whose curricula prefer short or long
            rows can be compared at equal cost. `num_train_epochs` is ignored, `max_steps` still ends the training
            earlier.
    """

    _VALID_DICT_FIELDS = [*SFTConfig._VALID_DICT_FIELDS, *DICT_FIELDS]

    max_tokens: int | None = field(
        default=None,
        metadata={"help": "Input tokens after which training ends, and over which the learning rate is scheduled."},
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_tokens is not None:
            if self.max_tokens < 1:
                raise ValueError(f"max_tokens={self.max_tokens} must be at least 1.")
            if self.warmup_steps >= 1:
                raise ValueError(
                    f"warmup_steps={self.warmup_steps} counts steps, but with max_tokens the learning rate follows "
                    "tokens; give the warm-up as a share of the budget, for example warmup_steps=0.05."
                )
            for name in ("logging_steps", "eval_steps", "save_steps"):
                if self.max_steps < 1 and 0 < (getattr(self, name) or 0) < 1:
                    raise ValueError(
                        f"{name}={getattr(self, name)} is a share of the steps, whose number max_tokens leaves open; "
                        "give a number of steps."
                    )
        if self.packing and self.max_length is None:
            raise ValueError(
                "packing needs max_length: a batch holds per_device_train_batch_size * max_length tokens."
            )
        if self.packing and self.packing_strategy != "bfd":
            raise ValueError(
                f"packing_strategy={self.packing_strategy!r} cuts rows into pieces, and a curriculum must know whose "
                "loss it sees; use 'bfd'."
            )
