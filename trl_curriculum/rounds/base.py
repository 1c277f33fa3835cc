"""What is repeated, each time from a better model: rounds by name, and what a run of them is given."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from peft import LoraConfig

from ..generators import Candidate
from ..registry import Method, Registry, option
from ..rewards.functions import RewardFunction
from ..trainers.config import CurriculumGRPOConfig, CurriculumSFTConfig


@dataclass(frozen=True)
class Job:
    """
    What rounds work on, whatever they do.

    Args:
        student (`str`):
            Name or path of the model that is adapted.
        args ([`CurriculumSFTConfig`] or [`CurriculumGRPOConfig`]):
            How a round trains, by SFT or by GRPO; its `output_dir` is that of the whole run. A curriculum works inside
            each round.
        lora ([`~peft.LoraConfig`]):
            Adapter that all rounds train on.
        examples (`list[Candidate]`):
            Trusted examples of the target task; `source` names the subtask of each.
        test (`list[Candidate]`):
            Held-out rows that the model is scored on before and after each round, per `source`.
        generators (*optional*):
            Where candidates come from, as [`~trl_curriculum.generators.make_generators`] takes them.
        model_kwargs (`dict`, *optional*):
            For `from_pretrained`.
        reward_funcs (`list[Callable]`, *optional*):
            Of GRPO; they are given the columns `answer` and `source`.
    """

    student: str
    args: CurriculumSFTConfig | CurriculumGRPOConfig
    lora: LoraConfig
    examples: list[Candidate]
    test: list[Candidate]
    generators: Any = ()
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    reward_funcs: list[RewardFunction] = field(default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.args, CurriculumGRPOConfig) != bool(self.reward_funcs):
            raise ValueError(
                f"args is a {type(self.args).__name__}, and reward_funcs are "
                f"{'given' if self.reward_funcs else 'missing'}: rewards go with GRPO."
            )


@dataclass(frozen=True)
class RoundMethod(Method):
    """Rounds with their options. A method implements `run`, with a [`~trl_curriculum.rounds.loop.Loop`] of stages."""

    generates: ClassVar[bool] = False  # whether it needs generators
    rounds: int = option(2, "How many.", "EvoSelect", least=1, kw_only=True)

    def plan(self) -> str:
        """What a run does, in a few words."""
        return f"{self.rounds} rounds of {self.name}"

    def refuse_training(self, args: CurriculumSFTConfig | CurriculumGRPOConfig) -> None:
        """Refuses, before any work, arguments of training that would fail or do nothing in a round."""

    def run(self, job: Job) -> Path:
        """
        Runs all rounds, or what is left of them.

        Args:
            job ([`Job`]):
                What they work on.

        Returns:
            The folder of the last round's adapter.
        """
        raise NotImplementedError


ROUNDS: Registry[RoundMethod] = Registry("rounds", RoundMethod, "trl_curriculum.rounds", "{evolve: {candidates: 500}}")
