"""The papers that methods name, as BibTeX: their titles stand once, here."""

import re
from collections.abc import Iterable


# By arXiv id. Of a paper that is not here the entry has its id and link alone.
TITLES = {
    "1903.09848": "Competence-based Curriculum Learning for Neural Machine Translation",
    "1910.07224": "Teacher algorithms for curriculum learning of Deep RL in continuously parameterized environments",
    "1910.10683": "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer",
    "2009.10795": "Dataset Cartography: Mapping and Diagnosing Datasets with Training Dynamics",
    "2202.05531": "Cyclical Curriculum Learning",
    "2408.07888": "Evaluating Fine-Tuning Efficiency of Human-Inspired Learning Strategies in Medical Question "
    "Answering",
    "2503.14476": "DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
    "2504.09710": "DUMP: Automated Distribution-Level Curriculum Learning for RL-based LLM Post-training",
    "2505.14970": "Self-Evolving Curriculum for LLM Reasoning",
    "2505.22617": "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models",
    "2506.05695": "Being Strong Progressively! Enhancing Knowledge Distillation of Large Language Models through a "
    "Curriculum Learning Framework",
    "2508.03178": "Light-IF: Endowing LLMs with Generalizable Reasoning via Preview and Self-Checking for Complex "
    "Instruction Following",
    "2508.08940": "Train Long, Think Short: Curriculum Learning for Efficient Reasoning",
    "2512.14944": "PuzzleCraft: Exploration-Aware Curriculum Learning for Puzzle-Based RLVR in VLMs",
    "2601.03725": "EDCO: Dynamic Curriculum Orchestration for Domain-specific Large Language Model Fine-tuning",
    "2603.25184": "Train at the Moving Edge: Efficient RL for Large Reasoning Models via Rollout Selection",
    "2604.26326": "Addressing Performance Saturation for LLM RL via Precise Entropy Curve Control",
}


def citations(methods: Iterable[tuple[str, str]]) -> str:
    """
    BibTeX of what methods are after.

    Args:
        methods (`Iterable[tuple[str, str]]`):
            Names of methods, and their papers as the methods declare them. Only arXiv papers have an entry, each one.

    Returns:
        Markdown: a sentence and a block per paper.
    """
    cited: dict[str, list[str]] = {}
    for name, paper in methods:
        for arxiv in re.findall(r"arXiv (\d{4}\.\d{4,5})", paper):
            cited.setdefault(arxiv, []).append(f"`{name}`")
    return "\n".join(
        f"Cite {' and '.join(dict.fromkeys(names))} as:\n\n```bibtex\n{bibtex(arxiv)}\n```\n"
        for arxiv, names in cited.items()
    )


def bibtex(arxiv: str) -> str:
    """The entry of an arXiv paper: what is known of it, and no author who is not."""
    fields = {"title": f"{{{TITLES[arxiv]}}}"} if arxiv in TITLES else {}
    fields |= {"eprint": arxiv, "archivePrefix": "arXiv", "year": f"20{arxiv[:2]}"}
    fields |= {"url": f"https://arxiv.org/abs/{arxiv}"}
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return f"@misc{{arxiv{arxiv.replace('.', '_')},\n{lines}}}"
