"""Whether a model that answers a question again arrives at the answer that was written."""

from dataclasses import dataclass, field

from ..lm.engines import Sampling
from ..options import check_options, option
from ..rewards.answers import same_answer
from ..rewards.functions import reward


@dataclass(frozen=True)
class Agreement:
    """
    Keeps a candidate if enough of several further answers to its question agree with the written one.

    Args:
        answers (`int`, *optional*, defaults to `4`):
            How often its question is answered again (ours).
        share (`float`, *optional*, defaults to `0.5`):
            Of these, how many must agree at least (ours); an answer that cannot be read does not agree.
        compare (`str`, *optional*):
            Name of a reward function that compares an answer with the column `answer`, for example `"math_accuracy"`.
            Default: equal texts, numbers by their value.
        sampling ([`Sampling`], *optional*):
            Of the answers.

    EvoSelect (arXiv 2604.26170) is not known to check answers: it is a stage of ours.
    """

    answers: int = option(4, least=1)
    share: float = option(0.5, above=0, most=1)
    compare: str | None = None
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        check_options(self, "the agreement")
        if self.sampling.temperature == 0 and self.answers > 1:
            raise ValueError(f"answers={self.answers} at temperature 0 are all alike; set a temperature above 0.")
        if self.compare is not None:
            reward(self.compare)  # an unknown name is refused before anything is written

    def reached(self, written: str, others: list[str | None]) -> bool:
        """Whether enough of the other answers agree with the written one."""
        read = [other for other in others if other is not None]
        if self.compare is None:
            agreeing = sum(same_answer(other, written) for other in read)
        else:
            boxed = [f"\\boxed{{{other}}}" for other in read]  # so that each is read as the final answer that it is
            scores = reward(self.compare)(boxed, answer=[written] * len(read)) if read else []
            agreeing = sum(score is not None and score >= 1 for score in scores)
        return agreeing >= self.share * len(others)
