"""What is evaluated and how: the arguments of lm-eval that both a command and a training run have."""

import json
from dataclasses import dataclass
from typing import Any

from ..options import check_options, shorten
from ..registry import make_options, option, without_repeats


@dataclass(frozen=True)
class EvaluationSettings:
    """Tasks of lm-eval, and how they are asked; the names are lm-eval's own."""

    tasks: list[str] | str = option((), "Names of tasks, groups or tags: lm-eval's, ours, or those in `include_path`.")
    limit: float | None = option(None, "Rows of each task; below 1 their share.", "lm-eval: all", above=0)
    num_fewshot: int | None = option(None, "Examples before each question.", "lm-eval: the task's", least=0)
    batch_size: int = option(8, "Rows of a forward.", least=1)
    apply_chat_template: bool = option(False, "Whether questions are chat messages.", "lm-eval")
    system_instruction: str | None = option(None, "System message before each question.", "lm-eval")
    gen_kwargs: dict[str, Any] | None = option(
        None, 'How answers are generated, such as `{"max_gen_toks": 2048}`.', "lm-eval: the task's"
    )
    include_path: str | None = option(None, "Folder with tasks of your own.", "lm-eval")
    confirm_run_unsafe_code: bool = option(
        False, "Whether programs that the model writes may run, in a sandbox.", "lm-eval"
    )
    seed: int = option(1234, "Of examples and of sampled answers.", "lm-eval", least=0, most=2**32 - 1)

    def __post_init__(self) -> None:
        if isinstance(self.tasks, str):
            object.__setattr__(self, "tasks", [self.tasks])
        check_options(self, "the evaluation")
        if not self.tasks:
            raise ValueError("The evaluation has no tasks: name some, such as tasks: [gsm8k].")
        if twice := [name for name in self.tasks if self.tasks.count(name) > 1]:
            raise ValueError(f"tasks of the evaluation has {twice[0]!r} twice: leave one out.")


@dataclass(frozen=True)
class LiveSettings(EvaluationSettings):
    """The same of a model that is being trained."""

    every: int = option(100, "Optimizer steps from one evaluation to the next; the last step has one too.", least=1)


def live_spec(spec: Any) -> dict[str, Any] | None:
    """
    A spec of [`LiveSettings`] as plain values; on a command line it is JSON, and `"none"` leaves out that of a recipe.

    Raises:
        `ValueError` or `TypeError`: in one sentence, where an option is unknown, missing or out of range.
    """
    if isinstance(spec, str):
        try:
            spec = None if spec == "none" else json.loads(spec, object_pairs_hook=without_repeats)
        except json.JSONDecodeError as error:
            raise ValueError(f"lm_eval={shorten(spec)} is no JSON ({error}).") from error
    if spec is None:
        return None
    make_options(LiveSettings, spec, "lm_eval")
    return spec
