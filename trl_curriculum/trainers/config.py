from dataclasses import dataclass, field
from typing import Any

from trl import GRPOConfig


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
        if not isinstance(self.curriculum_kwargs, dict | None):
            raise ValueError(
                f"curriculum_kwargs={self.curriculum_kwargs!r} is not a mapping of options such as {{'tau': 0.2}}."
            )
        reserved = {"curriculum", "pool", "seed"} & set(self.curriculum_kwargs or ())
        if reserved:
            raise ValueError(
                f"curriculum_kwargs has {min(reserved)!r}, which the trainer sets itself (the seed is data_seed or "
                "seed); leave it out."
            )


@dataclass
class CurriculumGRPOConfig(CurriculumConfig, GRPOConfig):
    """
    [`~trl.GRPOConfig`] with the arguments of a curriculum.

    See [`CurriculumConfig`] for what is added; everything else is TRL's.
    """

    _VALID_DICT_FIELDS = [*GRPOConfig._VALID_DICT_FIELDS, "curriculum_kwargs"]
