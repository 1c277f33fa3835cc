from dataclasses import dataclass
from typing import Any, Literal

from ..registry import option
from .base import BUNDLES, Bundle


@BUNDLES.add("edco_code", paper="arXiv 2601.03725")
@dataclass(frozen=True)
class EDCOCode(Bundle):
    """
    EDCO as its code has it: the curriculum, and prefix entropies of raw texts, sampled at temperature .7.

    Our own defaults measure greedily and through the chat template, which ranks as well with less noise. The code's
    text that asks for a quick answer is Chinese; `zh` has the same meaning in our own words, and ranks otherwise
    (Spearman .57 on 16 questions): pass the code's text as `quick_answer` for an exact run.

    Source: Pang et al. 2026, arXiv 2601.03725, and its code.

    Example:

    ```python
    >>> from trl_curriculum.bundles import EDCOCode
    >>> EDCOCode(top_n=200).expand()["curriculum"]
    {'edco': {'rounds': 5, 'top_n': 200, 'order': 'descending'}}

    ```
    """

    rounds: int = option(5, "Rounds of the training.", "the code's in GRPO (8 and 4 in SFT)", least=1)
    top_n: int | None = option(None, "Rows of a round; default: a quarter of them.", "the code's: 200 to 800", least=1)
    order: Literal["descending", "random"] = option(
        "descending", "Of a round's rows.", "the code's in GRPO, which does not shuffle (in SFT: random)"
    )
    quick_answer: str | None = option(
        "zh", "What asks for a short answer, as in `prefix_entropy`.", "ours, with the meaning of the code's"
    )

    def expand(self) -> dict[str, Any]:
        probe = {"length": 128, "logprobs": 20, "temperature": 0.7, "top_p": 0.7}
        return {
            "curriculum": {"edco": {"rounds": self.rounds, "top_n": self.top_n, "order": self.order}},
            "probe": {"prefix_entropy": probe | {"quick_answer": self.quick_answer, "chat_template": False}},
        }
