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
    "2408.05326": "A Psychology-based Unified Dynamic Framework for Curriculum Learning",
    "2408.07888": "Evaluating Fine-Tuning Efficiency of Human-Inspired Learning Strategies in Medical Question "
    "Answering",
    "2502.12272": "Learning to Reason at the Frontier of Learnability",
    "2503.14476": "DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
    "2504.05520": "Efficient Reinforcement Finetuning via Adaptive Curriculum Learning",
    "2504.09710": "DUMP: Automated Distribution-Level Curriculum Learning for RL-based LLM Post-training",
    "2505.14970": "Self-Evolving Curriculum for LLM Reasoning",
    "2505.19439": "Surrogate Signals from Format and Length: Reinforcement Learning for Solving Mathematical Problems "
    "without Ground Truth Answers",
    "2505.22617": "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models",
    "2506.02177": "Act Only When It Pays: Efficient Reinforcement Learning for LLM Reasoning via Selective Rollouts",
    "2506.02281": "Angles Don't Lie: Unlocking Training-Efficient RL Through the Model's Own Signals",
    "2506.05695": "Being Strong Progressively! Enhancing Knowledge Distillation of Large Language Models through a "
    "Curriculum Learning Framework",
    "2506.06632": "Curriculum Reinforcement Learning from Easy to Hard Tasks Improves LLM Reasoning",
    "2507.04632": "Can Prompt Difficulty be Online Predicted for Accelerating RL Finetuning of Reasoning Models?",
    "2508.03178": "Light-IF: Endowing LLMs with Generalizable Reasoning via Preview and Self-Checking for Complex "
    "Instruction Following",
    "2508.08940": "Train Long, Think Short: Curriculum Learning for Efficient Reasoning",
    "2508.11016": "CURE: Critical-Token-Guided Re-Concatenation for Entropy-Collapse Prevention",
    "2509.19803": "VCRL: Variance-based Curriculum Reinforcement Learning for Large Language Models",
    "2509.22601": "Learn the Ropes, Then Trust the Wins: Self-imitation with Progressive Exploration for Agentic "
    "Reinforcement Learning",
    "2509.23962": "CANON: Conditional Advantage Estimation for Reinforcement Learning in Large Reasoning Models",
    "2509.24375": "Reinforcement Mid-Training",
    "2509.25133": "Rethinking Entropy Regularization in Large Reasoning Models",
    "2510.01037": "CurES: From Gradient Analysis to Efficient Curriculum Learning for Reasoning LLMs",
    "2510.04474": "DRPO: Efficient Reasoning via Decoupled Reward Policy Optimization",
    "2510.08026": "PEAR: Phase Entropy Aware Reward for Efficient Reasoning",
    "2510.08141": "Arbitrary Entropy Policy Optimization Breaks The Exploration Bottleneck of Reinforcement Learning",
    "2510.08457": "ARES: Multimodal Adaptive Reasoning via Difficulty-Aware Token-Level Entropy Shaping",
    "2511.17938": "SPINE: Token-Selective Test-Time Reinforcement Learning with Entropy-Band Regularization",
    "2512.00319": "RL-Struct: A Lightweight Reinforcement Learning Framework for Reliable Structured Output in LLMs",
    "2512.14944": "PuzzleCraft: Exploration-Aware Curriculum Learning for Puzzle-Based RLVR in VLMs",
    "2601.03725": "EDCO: Dynamic Curriculum Orchestration for Domain-specific Large Language Model Fine-tuning",
    "2601.03969": "Anti-Length Shift: Dynamic Outlier Truncation for Training Efficient Reasoning Models",
    "2602.03190": "Prompt Augmentation Scales up GRPO Training on Mathematical Reasoning",
    "2602.03392": "On the Entropy Dynamics in Reinforcement Fine-Tuning of Large Language Models",
    "2602.22642": "Compress the Easy, Explore the Hard: Difficulty-Aware Entropy Regularization for Efficient LLM "
    "Reasoning",
    "2603.05256": "Wiki-R1: Incentivizing Multimodal Reasoning for Knowledge-based VQA via Data and Sampling "
    "Curriculum",
    "2603.25184": "Train at the Moving Edge: Efficient RL for Large Reasoning Models via Rollout Selection",
    "2604.06268": "RAGEN-2: Reasoning Collapse in Agentic RL",
    "2604.26326": "Addressing Performance Saturation for LLM RL via Precise Entropy Curve Control",
    "2605.07660": "Not All Tokens Learn Alike: Attention Entropy Reveals Heterogeneous Signals in RL Reasoning",
    "2605.09806": "LEAD: Length-Efficient Adaptive and Dynamic Reasoning for Large Language Models",
    "2605.17003": "Learning-Zone Energy: Online Data Selection for Efficient RL Post-Training",
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
