"""Arguments that a curriculum adds to those of TRL's trainers."""

from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig, SFTConfig

from ..arms import ARMS, make_arms
from ..bundles import BUNDLES
from ..curricula import CURRICULA, CurriculumMethod
from ..data.unusable import CHOICES, HELP, check_choice
from ..disk.fingerprint import redact
from ..evaluation.settings import live_spec
from ..probes import PROBES, PrefixEntropy, Probe
from ..registry import Method, Registry
from ..rollouts import ROLLOUTS, RolloutMethod
from ..shaping import SHAPING, Shaper
from .bundled import set_bundle
from .declared import refuse_undeclared
from .fit import refuse_unfit
from .limits import refuse_out_of_range
from .steppers import check_schedule


MOVED = {  # what earlier spellings have become
    "curriculum_kwargs": "curriculum: {name: {option: value}}",
    "arm_column": "arms: column",
    "probe_kwargs": "probe: {prefix_entropy: {option: value}}",
    "probe_back_end": "probe: {prefix_entropy: {back_end: name}}",
    "back_end": "probe: {prefix_entropy: {back_end: name}}",
    "probe_vllm_kwargs": "probe: {prefix_entropy: {back_end_options: {option: value}}}",
    "probe_batch_tokens": "probe: {name: {batch_tokens: number}}",
}


def _names(registry: Registry[Any]) -> str:
    """The methods of a family, for the help of the argument that names one."""
    return f"{', '.join(registry.names())}; see `trl-curriculum methods NAME`."


@dataclass
class CurriculumConfig:
    """
    Arguments that every curriculum trainer has.

    A method is spelled as its name, or as `{name: {option: value}}`; on the command line the latter is JSON.

    Parameters:
        method (`str` or `dict`, *optional*):
            A bundle: a name for methods of several families. What is set beside it wins.
        curriculum (`str` or `dict`, *optional*):
            Curriculum that chooses the rows, for example `{"sec": {"tau": 0.2}}`; `trl-curriculum methods` lists them.
            Default: `"uniform"`.
        arms (`list[str]` or `dict`, *optional*):
            Where arms (categories of rows) come from: a column, several columns for joint arms,
            `{"success_rate": {"bins": 5}}` or `{"clusters": {"k": 50}}`.
        difficulty_column (`str`, *optional*):
            Numeric dataset column, larger is harder.
        on_data_change (`str`, *optional*, defaults to `"refuse"`):
            What to do when a run is resumed on other data: `"refuse"`, or `"carry_over"`, which matches rows by their
            content and reports how many were kept, are new and were lost.
        overwrite_output_dir (`bool`, *optional*, defaults to `False`):
            Whether a run may start where an earlier one has left checkpoints or a history: its checkpoints are
            removed, its history is moved aside.
        unusable_rows (`str`, *optional*, defaults to `"refuse"`):
            What to do with rows that cannot be used (null, blank, refused by the chat template, too long, …):
            `"refuse"` the run, or `"leave_out"` these rows, with a warning.
        probe (`str` or `dict`, *optional*):
            How what the curriculum asks for is measured, for example `{"prefix_entropy": {"length": 32}}`.
        rollouts (`list`, *optional*):
            Methods that decide how many and which completions are made, in the order in which they act. For GRPO.
        shaping (`list`, *optional*):
            Shapers, which decide how much a rollout or a token counts, in the order in which they act.
        lm_eval (`dict`, *optional*):
            Tasks of lm-eval on which the model is evaluated while it trains, such as
            `{"tasks": ["gsm8k"], "every": 100, "limit": 200}`.
    """

    method: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": f"A bundle of methods of several families; what is set beside it wins. One of {_names(BUNDLES)}"
        },
    )
    curriculum: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Curriculum that chooses the rows (uniform, unless set): a name, or JSON such as "
            f'\'{{"sec": {{"tau": 0.2}}}}\'. One of {_names(CURRICULA)}'
        },
    )
    arms: list[str] | None = field(
        default=None,
        metadata={
            "help": "Where arms come from: a column, several for joint arms, or JSON such as "
            f'\'{{"success_rate": {{"bins": 5}}}}\'. One of {_names(ARMS)}'
        },
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
    overwrite_output_dir: bool = field(
        default=False,
        metadata={"help": "Start where an earlier run is: remove its checkpoints, move its history aside."},
    )
    unusable_rows: str = field(default="refuse", metadata={"help": HELP, "choices": CHOICES})
    probe: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "How what the curriculum asks for is measured, for example "
            f'\'{{"prefix_entropy": {{"length": 32}}}}\'. One of {_names(PROBES)}'
        },
    )

    rollouts: list[str] | None = field(
        default=None,
        metadata={
            "help": 'How rollouts are made: names, or JSON such as \'{"refill": {"tries": 3}}\'; "none" for none. '
            f"Of {_names(ROLLOUTS)}"
        },
    )
    shaping: list[str] | None = field(
        default=None,
        metadata={
            "help": 'Shapers: names, or JSON such as \'{"clip_cov": {"ratio": 0.001}}\'; "none" for none. '
            f"Of {_names(SHAPING)}"
        },
    )
    lm_eval: dict[str, Any] | str | None = field(
        default=None,
        metadata={
            "help": "Tasks of lm-eval on which the model is evaluated while it trains, such as "
            '\'{"tasks": ["gsm8k"], "every": 100, "limit": 200}\'.'
        },
    )

    def __new__(cls, *args: Any, **kwargs: Any) -> "CurriculumConfig":
        for name in kwargs:
            if name in MOVED:
                raise TypeError(f"{name} is now spelled `{MOVED[name]}`.")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        if self.on_data_change not in ("refuse", "carry_over"):
            raise ValueError(f"on_data_change={self.on_data_change!r} is neither 'refuse' nor 'carry_over'.")
        refuse_undeclared(vars(self), type(self))
        refuse_out_of_range(self)
        check_choice(self.unusable_rows)
        parent = getattr(super(), "__post_init__", None)
        if parent is not None:
            parent()  # which also reads JSON where a mapping is expected
        check_schedule(self)
        self._check_methods()

    def _check_methods(self) -> None:
        """Brings every spec into one spelling, with all mistakes in options found; for what TRL has completed."""
        if self.method is not None:
            bundle = BUNDLES.make(self.method)
            self.method = _spec("method", bundle)
            set_bundle(self, bundle)
        # Every mistake in an option is found here. Arguments are plain values, as trackers and checkpoints keep them.
        self.curriculum = _spec("curriculum", self.curriculum_method)
        arms: Any = self.arm_source
        plain = arms is not None and arms.name == "columns" and arms.order is None
        self.arms = None if arms is None else [*arms.names] if plain else arms.spec
        if self.probe is not None:
            self.probe = _spec("probe", PROBES.make(self.probe))
        self.lm_eval = live_spec(self.lm_eval)
        refuse_unfit(self.rollout_methods, self.shapers, self)
        self.rollouts = self.rollouts and [_spec("rollouts", method) for method in self.rollout_methods]
        self.shaping = self.shaping and [_spec("shaping", shaper) for shaper in self.shapers]

    def to_dict(self) -> dict[str, Any]:
        """The arguments as trackers and logs are given them: without secrets, nested ones included."""
        return redact(super().to_dict())  # type: ignore[misc]

    @property
    def curriculum_method(self) -> CurriculumMethod:
        """The curriculum with its options."""
        return CURRICULA.make(self.curriculum or "uniform")

    @property
    def arm_source(self) -> Any:
        """Where arms come from, or `None`."""
        return make_arms(self.arms)

    @property
    def rollout_methods(self) -> tuple[RolloutMethod, ...]:
        """The methods of making rollouts with their options."""
        return ROLLOUTS.make_all(self.rollouts)

    @property
    def shapers(self) -> tuple[Shaper, ...]:
        """The shapers with their options."""
        return SHAPING.make_all(self.shaping)

    @property
    def probe_method(self) -> Probe | None:
        """The probe that is set up, or `None`."""
        return None if self.probe is None else PROBES.make(self.probe)

    def probe_for(self, method: CurriculumMethod) -> Probe | None:
        """How what a curriculum asks for is measured, or `None` where it asks for nothing."""
        if method.probe is None:
            return None
        set_up = self.probe_method
        return set_up if isinstance(set_up, PROBES.get(method.probe)) else PROBES.make(method.probe)

    @property
    def prefix_entropy(self) -> PrefixEntropy:
        """What a prefix entropy is in this run."""
        probe = self.probe_method
        return probe if isinstance(probe, PrefixEntropy) else PrefixEntropy()


def _spec(role: str, method: Method) -> Any:
    if not method.name:
        raise ValueError(
            f"{role}={method!r} has no name that arguments could keep: register its class, or give it to the trainer."
        )
    return method.spec


@dataclass
class CurriculumGRPOConfig(CurriculumConfig, GRPOConfig):
    """
    [`~trl.GRPOConfig`] with the arguments of a curriculum.

    See [`CurriculumConfig`] for what is added; everything else is TRL's.

    Parameters:
        answer_column (`str`, *optional*):
            Column with reference answers, for curricula that ask for the loss of rows.
    """

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

    max_tokens: int | None = field(
        default=None,
        metadata={"help": "Input tokens after which training ends, and over which the learning rate is scheduled."},
    )

    def _check_methods(self) -> None:
        super()._check_methods()
        if self.max_tokens is not None:
            check_token_budget(self)
        if self.packing and self.max_length is None:
            raise ValueError(
                "packing needs max_length: a batch holds per_device_train_batch_size * max_length tokens."
            )
        if self.packing and self.packing_strategy != "bfd":
            raise ValueError(
                f"packing_strategy={self.packing_strategy!r} cuts rows into pieces, and a curriculum must know whose "
                "loss it sees; use 'bfd'."
            )


def check_token_budget(args: Any) -> None:
    """Refuses what does not go with `max_tokens`."""
    if args.max_tokens < 1:
        raise ValueError(f"max_tokens={args.max_tokens} must be at least 1.")
    if args.warmup_steps >= 1:
        raise ValueError(
            f"warmup_steps={args.warmup_steps} counts steps, but with max_tokens the learning rate follows tokens; "
            "give the warm-up as a share of the budget, for example warmup_steps=0.05."
        )
    for name in ("logging_steps", "eval_steps", "save_steps"):
        if args.max_steps < 1 and 0 < (getattr(args, name) or 0) < 1:
            raise ValueError(
                f"{name}={getattr(args, name)} is a share of the steps, whose number max_tokens leaves open; give a "
                "number of steps."
            )
