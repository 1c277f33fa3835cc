from dataclasses import dataclass
from typing import Any, ClassVar

from ..registry import nearest, option
from ..rewriting import Moment, reworded
from .base import ROLLOUTS, RolloutMethod
from .forms import COLUMN, FORMS


@ROLLOUTS.add("prompt_augmentation", paper="arXiv 2602.03190")
@dataclass(frozen=True)
class PromptAugmentation(RolloutMethod):
    r"""
    Asks each question in one of several forms, at random whenever its row is drawn.

    The form is uniform over `templates`, one for all rollouts of a row at a step. Its name goes into the column
    `prompt_template` of the row, for rewards to read: the reward `template_format` pays answers that have the form.
    The paper adds it to the correctness, each with weight 1, without KL and with `epsilon_high: 0.28`; where a single
    form collapses, its runs stay stable for 2,700 steps and more. Its code pays a part for each tag that is there, and
    all for answers to forms that ask for none; here a form is kept or not, and where there is none nothing is paid.

    There are 13 forms, of our own wording (the paper has 13 too): `as_is`, the question alone, to whose answers the
    reward does not apply; `boxed`, `answer_only`, `tags`, `tags_boxed`, `last_line`, `hashes`, `steps`, `check`,
    `plan`, `pupil`; and `one_shot` and `four_shot`, whose examples are sums, so leave these out for other tasks. A
    prompt that asks for a form itself should not be given others. Prompts are checked for length in their longest
    form.

    What a curriculum believes of a row is a mean over forms; with the format paid, name the accuracy in its `outcome`.
    A probe sees a row in the form that a draw at this step would have; what it measures for later steps is then drawn
    in other forms. Evaluation asks as the dataset does.

    Example:

    ```python
    >>> from trl_curriculum.rewriting import Moment
    >>> from trl_curriculum.rollouts import PromptAugmentation
    >>> method = PromptAugmentation(templates=["hashes"])
    >>> row = method.rewrite({"prompt": "1 + 1?", "answer": "2"}, Moment(row=5, step=3))
    >>> row["prompt"].splitlines()[2], row["answer"], row["prompt_template"]
    ('Work it out, then write #### and the final answer on a line of their own.', '2', 'hashes')

    ```
    """

    columns: ClassVar[tuple[str, ...]] = (COLUMN,)

    templates: list[str] | None = option(None, "Forms to choose from; by default all.", "paper: 13 of its own wording")

    def check(self) -> None:
        if self.templates is None:
            return
        for name in self.templates:
            if name not in FORMS:
                raise ValueError(
                    f"templates of prompt_augmentation has no {name!r}{nearest(name, FORMS)}: choose of "
                    f"{', '.join(FORMS)}."
                )
        if not self.templates or len(set(self.templates)) < len(self.templates):
            raise ValueError("templates of prompt_augmentation must name one form at least, and none twice.")

    @property
    def names(self) -> list[str]:
        """The forms to choose from."""
        return list(FORMS) if self.templates is None else list(self.templates)

    def rewrite(self, row: dict[str, Any], moment: Moment) -> dict[str, Any]:
        return _in(self.names[moment.rng.integers(len(self.names))], row)

    def longest(self, row: dict[str, Any]) -> dict[str, Any]:
        return _in(max(self.names, key=lambda name: len(FORMS[name].text)), row)


def _in(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return row | {"prompt": reworded(row["prompt"], FORMS[name].asks), COLUMN: name}
