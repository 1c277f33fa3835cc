from dataclasses import dataclass
from typing import Any

from ..rollouts.forms import FORMS
from .answers import Completion, text_of
from .base import REWARDS, Reward, Rewards


@REWARDS.add("template_format", paper="arXiv 2602.03190")
@dataclass(frozen=True)
class TemplateFormat(Reward):
    r"""
    Reward 1.0 if a completion has the form that its prompt asked for, else 0.0, beside `rollouts:
    [prompt_augmentation]`.

    The form stands in the column `prompt_template`, which that method adds. It does not apply where the prompt asks
    for none, and in evaluation.

    Example:

    ```python
    >>> from trl_curriculum.rewards import REWARDS
    >>> REWARDS.make("template_format")(["It is 4.", "It is\n#### 4"], prompt_template=["hashes", "hashes"])
    [0.0, 1.0]

    ```
    """

    def __call__(
        self, completions: list[Completion], prompt_template: list[str | None] | None = None, **columns: Any
    ) -> Rewards:
        names = prompt_template or [None] * len(completions)
        forms = [None if name is None else FORMS.get(name) for name in names]
        return [
            None if form is None or not form.marks else float(form.kept(text_of(completion)))
            for completion, form in zip(completions, forms, strict=True)
        ]
