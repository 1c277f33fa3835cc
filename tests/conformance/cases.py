"""The one table: every method, and every variant of it that behaves differently. A new method adds one row."""

import json
from pathlib import Path
from typing import Any

import shapers

from trl_curriculum import CURRICULA, Pool
from trl_curriculum.arms import ARMS
from trl_curriculum.bundles import BUNDLES
from trl_curriculum.curricula import Curriculum, SuccessRate
from trl_curriculum.generators import GENERATORS, TEMPLATES, Candidate
from trl_curriculum.probes import PROBES
from trl_curriculum.registry import Spec
from trl_curriculum.rewards import REWARDS
from trl_curriculum.rollouts import ROLLOUTS
from trl_curriculum.rounds import ROUNDS
from trl_curriculum.selection import SELECTION
from trl_curriculum.shaping import SHAPING
from trl_curriculum.testing import case
from trl_curriculum.testing.curricula import CurriculumCase


def curriculum(spec: Spec, probabilities: bool | None = True, **facts: Any) -> CurriculumCase:
    return case(CURRICULA.make(spec), probabilities=probabilities, **facts)


def weights_of_its_arms(mixture: Any, pool: Pool) -> Any:
    weights = {arm: weight for arm, weight in (mixture.weights or {}).items() if arm in pool.arm_names}
    return CURRICULA.make({"mixture": {"weights": weights}}) if weights else mixture


def shaper(spec: Any, neutral: Any = None, another: Any = None, **facts: Any) -> Any:
    return case(SHAPING.make(spec), neutral=neutral, another=another, **facts)


def shaper_of_the_docs() -> Any:
    """The shaper of docs/add_a_method.md, as a reader would copy it."""
    text = (Path(__file__).parents[2] / "docs" / "add_a_method.md").read_text().split("\n## A shaper\n")[1]
    scope: dict[str, Any] = {"__name__": "shapers"}  # where pickle finds it
    exec(text.split("```python\n", 1)[1].split("```", 1)[0], scope)
    shapers.Shorter = scope["Shorter"]
    shapers.Shorter.name = "shorter"
    return shapers.Shorter


VARIANTS: dict[str, CurriculumCase] = {
    "uniform": curriculum("uniform", floor=0.05, in_turn="pool"),
    "order-easy_to_hard": curriculum({"order": {"mode": "easy_to_hard"}}, probabilities=False, in_turn="pool"),
    "order-hard_to_easy": curriculum({"order": {"mode": "hard_to_easy"}}, probabilities=False, in_turn="pool"),
    "order-blocked": curriculum({"order": {"mode": "blocked"}}, probabilities=False, in_turn="pool"),
    "order-interleaved": curriculum({"order": {"mode": "interleaved"}}, probabilities=False, in_turn="arm"),
    "order-stretched": curriculum({"order": {"total_draws": 500}}, probabilities=False),
    "sec": curriculum("sec", in_turn="arm"),
    "sec-decay": curriculum({"sec": {"unsampled": "decay", "tau": 0.2}}, in_turn="arm", forgets=True),
    "sec-prevalence": curriculum({"sec": {"prior": "prevalence", "tau": 0.2}}, in_turn="arm"),
    "sec-outcome": curriculum({"sec": {"outcome": "accuracy", "tau": 0.2}}, in_turn="arm"),
    "sec-estimated": curriculum("sec", estimated=SuccessRate(bins=5, every=2)),
    "sec-estimated-uniform": curriculum(
        {"sec": {"prior": "uniform"}}, estimated=SuccessRate(bins=5, every=2, outcome="accuracy")
    ),
    "dump": curriculum("dump"),
    "dump-estimated": curriculum("dump", estimated=SuccessRate(bins=4)),
    "mixture": curriculum("mixture", in_turn="arm"),
    "mixture-temperature": curriculum({"mixture": {"temperature": 3.0}}, in_turn="arm"),
    "mixture-weights": curriculum(
        {"mixture": {"weights": {"arm0": 3, "arm1": 0.5, "arm2": 1, "arm3": 1, "arm4": 2.5}}},
        in_turn="arm",
        adapted=weights_of_its_arms,
    ),
    "order-probe": curriculum({"order": {"difficulty": "probe"}}, probabilities=False, in_turn="arm", seeded=False),
    "order-probe-back": curriculum(
        {"order": {"difficulty": "probe", "mode": "hard_to_easy", "total_draws": 100}},
        probabilities=False,
        seeded=False,
    ),
    "baby_steps": curriculum("baby_steps"),
    "baby_steps-probe": curriculum({"baby_steps": {"difficulty": "probe", "stages": 3}}),
    "competence": curriculum("competence"),
    "competence-probe": curriculum({"competence": {"difficulty": "probe", "initial": 0.1, "duration": 1.0}}),
    "adarft": curriculum("adarft", probabilities=False),
    "adarft-outcome": curriculum(
        {"adarft": {"outcome": "accuracy", "alpha": 1.0, "beta": 0.7, "eta": 0.2, "start": 0.5}}, probabilities=False
    ),
    "e2h": curriculum("e2h", in_turn="arm"),
    "e2h-levels": curriculum({"e2h": {"levels": 3, "floor": 0.2, "sigma": 1.0, "beta": 1.0}}),
    "e2h-cosine": curriculum({"e2h": {"form": "cosine"}}, in_turn="arm"),
    "e2h-probe": curriculum({"e2h": {"levels": 4, "difficulty": "probe"}}),
    "rmt_tiers": curriculum("rmt_tiers"),
    "rmt_tiers-arms": curriculum({"rmt_tiers": {"levels": None, "first": 0.2, "second": 0.9}}, in_turn="arm"),
    "gain_rl": curriculum("gain_rl"),
    "gain_rl-narrow": curriculum(
        {"gain_rl": {"width": 5.0, "step": 20.0, "subset": 16, "outcome": "accuracy"}}, probabilities=True
    ),
    "wiki_r1": curriculum("wiki_r1"),
    "wiki_r1-levels": curriculum(
        {"wiki_r1": {"levels": True, "window": 40, "threshold": 0.2, "outcome": "accuracy", "half_life": 0.5}}
    ),
    "pudf": curriculum("pudf"),
    "pudf-window": curriculum({"pudf": {"lower": -1.5, "upper": 1.0, "refresh_steps": 2, "outcome": "accuracy"}}),
    "pudf-loss": curriculum({"pudf": {"response": "loss", "refresh_steps": 2, "upper": 0.5}}),
    "pudf-probe": curriculum({"pudf": {"response": "loss", "difficulty": "probe", "refresh_steps": 1}}),
    "self_paced": curriculum("self_paced"),
    "self_paced-often": curriculum({"self_paced": {"refresh_steps": 2, "start": 0.2, "duration": 1.0}}),
    "self_paced-probe": curriculum({"self_paced": {"measure": "probe", "refresh_steps": 1}}),
    "loss_top_k": curriculum("loss_top_k"),
    "loss_top_k-often": curriculum({"loss_top_k": {"refresh_steps": 2}}),
    "loss_top_k-probe": curriculum({"loss_top_k": {"measure": "probe", "share": 0.1, "refresh_steps": 3}}),
    "data_maps": curriculum({"data_maps": {"refresh_steps": 2}}),
    "data_maps-hard": curriculum({"data_maps": {"region": "hard", "refresh_steps": 2}}),
    "data_maps-easy-probe": curriculum({"data_maps": {"region": "easy", "measure": "probe", "refresh_steps": 2}}),
    "cyclical": curriculum("cyclical"),
    "cyclical-probe": curriculum({"cyclical": {"measure": "probe", "start": 0.1, "end": 0.5, "alpha": 0.7}}),
    "evo_curate": curriculum("evo_curate", floor=0.05),
    "evo_curate-std": curriculum({"evo_curate": {"variability": "std", "refresh_steps": 2}}, floor=0.05),
    "evo_curate-later": curriculum({"evo_curate": {"variability": "std_after_first", "refresh_steps": 2}}, floor=0.05),
    "evo_curate-progress": curriculum({"evo_curate": {"variability": "progress", "refresh_steps": 2}}, floor=0.05),
    "evo_curate-uniform": curriculum({"evo_curate": {"kappa": 1.0, "refresh_steps": 2}}, floor=0.05),
    "evo_curate-diversity": curriculum({"evo_curate": {"diversity": 2.0, "refresh_steps": 2}}, floor=0.05),
    "evo_curate-no-replacement": curriculum(
        {"evo_curate": {"variability": "std", "replacement": False, "refresh_steps": 5}}, floor=0.05
    ),
    "evo_curate-probe": curriculum(
        {"evo_curate": {"measure": "probe", "variability": "std", "refresh_steps": 2}}, floor=0.05
    ),
    "evo_curate-probe-share": curriculum(
        {"evo_curate": {"measure": "probe", "probe_share": 0.4, "refresh_steps": 2}}, floor=0.05
    ),
    "evo_curate-probe-each-step": curriculum({"evo_curate": {"measure": "probe", "refresh_steps": 1}}, floor=0.05),
    "edco": curriculum("edco", rounds=5),
    "edco-keep": curriculum(
        {"edco": {"top_n": 7, "optimizer": "keep", "rounds": 20}}, rounds=20, fresh_optimizer=False
    ),
    "edco-loss": curriculum({"edco": {"score_by": "loss", "rounds": 3}}, rounds=3),
    "edco-random": curriculum({"edco": {"score_by": "random", "rounds": 8}}, rounds=8),
    "edco-uncertain": curriculum({"edco": {"reprobe": "uncertain", "rounds": 8}}, rounds=8),
    "alp_gmm": curriculum({"alp_gmm": {"parameters": "difficulty"}}, probabilities=False),
    "alp_gmm-often": curriculum(
        {"alp_gmm": {"parameters": "difficulty", "every": 40, "most": 3, "outcome": "accuracy"}}, probabilities=False
    ),
    "hive": curriculum("hive", probabilities=False),
    "hive-outcome": curriculum({"hive": {"candidates": 20, "outcome": "accuracy"}}, probabilities=False),
    "ucb1": curriculum({"ucb1": {"round_batches": 2}}, probabilities=False, in_turn="arm"),
    "ucb1-levels": curriculum(
        {"ucb1": {"round_batches": 1, "levels": 4}}, probabilities=False, in_turn="arm", labelled=False
    ),
    "ucb1-outcome": curriculum(
        {"ucb1": {"round_batches": 2, "outcome": "accuracy"}}, probabilities=False, in_turn="arm"
    ),
    "greso": curriculum("greso"),
    "greso-target": curriculum({"greso": {"easy": 0.5, "target": 0.25, "outcome": "accuracy"}}),
    "greso-skips": curriculum({"greso": {"easy": 0.0, "hard": 0.0}}),
    "mopps": curriculum("mopps", probabilities=False),
    "mopps-paper": curriculum(
        {"mopps": {"prior": "flat", "keep": 1.0, "candidates": 2, "outcome": "accuracy"}}, probabilities=False
    ),
    "cures": curriculum("cures"),
    "cures-flat": curriculum({"cures": {"tau": 0.05, "prior": "flat", "keep": 1.0}}, labelled=False),
    "lilo": curriculum("lilo", probabilities=False),
    "lilo-best": curriculum({"lilo": {"share": 1.0, "best": 0.1, "every": 1, "keep": 0.5}}, probabilities=False),
    "lze": curriculum("lze", probabilities=False),
    "lze-prunes": curriculum({"lze": {"passes": 1, "replay": 0.01, "share": 1.0}}, probabilities=False),
    "placebo-uniform": curriculum({"placebo": {"of": "uniform"}}, floor=0.05, in_turn="pool"),
    "placebo-order": curriculum({"placebo": {"of": "order"}}, probabilities=False, in_turn="pool"),
    "placebo-blocked": curriculum(
        {"placebo": {"of": {"order": {"mode": "blocked"}}}}, probabilities=False, in_turn="pool"
    ),
    "placebo-mixture": curriculum({"placebo": {"of": {"mixture": {"temperature": 3.0}}}}, in_turn="arm"),
    "placebo-sec": curriculum({"placebo": {"of": {"sec": {"tau": 0.2}}}}, in_turn="arm"),
    "placebo-estimated": curriculum({"placebo": {"of": "dump"}}, estimated=SuccessRate(bins=4)),
    "placebo-ucb1": curriculum(
        {"placebo": {"of": {"ucb1": {"round_batches": 2}}}}, probabilities=False, in_turn="arm"
    ),
    "placebo-competence-probe": curriculum({"placebo": {"of": {"competence": {"difficulty": "probe"}}}}),
    "placebo-e2h": curriculum({"placebo": {"of": "e2h"}}, in_turn="arm"),
    "placebo-adarft": curriculum({"placebo": {"of": "adarft"}}, probabilities=False),
    "placebo-gain_rl": curriculum({"placebo": {"of": {"gain_rl": {"width": 5.0, "subset": 16}}}}),
    "placebo-wiki_r1": curriculum({"placebo": {"of": "wiki_r1"}}),
    "placebo-pudf": curriculum({"placebo": {"of": {"pudf": {"refresh_steps": 2}}}}),
    "placebo-evo_curate": curriculum({"placebo": {"of": {"evo_curate": {"refresh_steps": 2}}}}, floor=0.05),
    "placebo-greso": curriculum({"placebo": {"of": "greso"}}),
    "placebo-cures": curriculum({"placebo": {"of": {"cures": {"tau": 0.05}}}}),
    "placebo-lilo": curriculum({"placebo": {"of": {"lilo": {"every": 2}}}}, probabilities=False),
    "placebo-alp_gmm": curriculum(
        {"placebo": {"of": {"alp_gmm": {"parameters": "difficulty", "every": 40, "most": 2}}}}, probabilities=False
    ),
    "placebo-hive": curriculum({"placebo": {"of": {"hive": {"candidates": 20}}}}, probabilities=False),
    "placebo-edco": curriculum({"placebo": {"of": {"edco": {"reprobe": "uncertain"}}}}, rounds=5),
}
SHORTER = shaper_of_the_docs()
SHAPERS = {
    "clip_cov": shaper(
        {"clip_cov": {"low": 0.01, "ratio": 0.1}}, {"clip_cov": {"low": 1e8, "high": 1e9}}, "clip_cov", is_random=True
    ),
    "clip_cov-all": shaper({"clip_cov": {"low": 0.01, "high": 1e9, "ratio": 1.0}}),
    "entrocraft-above": shaper(
        {"entrocraft": {"low": 0, "high": 0.1, "last_low": 0, "last_high": 0.1}},
        {"entrocraft": {"low": 0, "high": 1e9, "last_low": 0, "last_high": 1e9}},
        "entrocraft",
    ),
    "entrocraft-below": shaper({"entrocraft": {"low": 8, "high": 9, "last_low": 8, "last_high": 9}}),
    "puzzlecraft": shaper("puzzlecraft", None, {"puzzlecraft": {"gamma": 0}}),
    "puzzlecraft-outcome": shaper({"puzzlecraft": {"gamma": 0, "outcome": "right"}}),
    "budget": shaper({"budget": {"initial": 5}}, None, "budget", adds=True),
    "clip_b": shaper({"clip_b": {"mu": 0.5}}, {"clip_b": {"mu": 1e6}}, "clip_b"),
    "kl_cov": shaper({"kl_cov": {"ratio": 0.2}}, {"kl_cov": {"coef": 0}}, "kl_cov"),
    "tea_rl": shaper("tea_rl", {"tea_rl": {"coef": 0}}, {"tea_rl": {"scale": 2.0}}),
    "siren": shaper({"siren": {"coef": 1.0}}, {"siren": {"coef": 0}}, "siren", learns=True),
    "ares": shaper(
        {"ares": {"window": 2, "quantile": 0.3}}, {"ares": {"window": 2, "weight": 0}}, "ares", adds=True, learns=True
    ),
    "canon": shaper({"canon": {"mu": 0.7}}, None, "canon", turns=True),
    "canon-length": shaper({"canon": {"by": "length", "mu": 1.0}}, turns=True),
    "canon-inside": shaper({"canon": {"by": "length", "mu": 0.0}}, turns=True),
    "pear": shaper({"pear": {"alpha": 0.5}}, {"pear": {"alpha": 1e6}}, "pear", adds=True),
    "lead": shaper("lead", None, {"lead": {"momentum": 0.5}}, adds=True, learns=True),
    "lead-outcome": shaper({"lead": {"outcome": "right", "least": 5}}, adds=True, learns=True),
    "drpo": shaper("drpo", None, {"drpo": {"shorter": 1.0}}),
    "ceeh": shaper("ceeh", {"ceeh": {"bonus": 0, "length": 0}}, {"ceeh": {"bonus": 0}}, adds=True, learns=True),
    "spine": shaper("spine", None, {"spine": {"coef": 0.5}}, adds=True),
    "snr_top_p": shaper({"snr_top_p": {"share": 0.6}}, {"snr_top_p": {"share": 1.0}}, {"snr_top_p": {"share": 0.3}}),
    "snr_top_p-outcome": shaper({"snr_top_p": {"outcome": "half"}}),
    "budget-told": shaper(
        {"budget": {"initial": 5, "tell": "In {budget} tokens."}}, None, {"budget": {"initial": 5}}, adds=True
    ),
    "attention_entropy": shaper(
        "attention_entropy", {"attention_entropy": {"start": 0, "end": 0}}, {"attention_entropy": {"depth": 0.0}}
    ),
    "entropy_sft": shaper("entropy_sft", {"entropy_sft": {"share": 1.0}}, {"entropy_sft": {"c": 0}}),
    "shorter": shaper(SHORTER(), SHORTER(0.0), SHORTER(2.0)),
    "same": shaper(shapers.Same(), shapers.Same()),
    "replacing": shaper(shapers.Replacing(), adds=True),
    "record": shaper(shapers.Record(), None, shapers.Record(2.0), learns=True),
    "bonus": shaper(shapers.Bonus(), shapers.Bonus(0.0), shapers.Bonus(0.3)),
}
ROLLOUT_METHODS = {
    "refill": case(ROLLOUTS.make("refill")),
    "refill-outcome": case(ROLLOUTS.make({"refill": {"outcome": "right", "tries": 2}})),
    "refill-carry": case(ROLLOUTS.make({"refill": {"carry": True, "least": 0.2, "most": 0.8}})),
    "allocation": case(ROLLOUTS.make("allocation")),
    "allocation-knapsack": case(ROLLOUTS.make({"allocation": {"rule": "knapsack", "outcome": "right", "rows": 0.3}})),
    "replay": case(ROLLOUTS.make({"replay": {"size": 100}})),
    "replay-variance": case(ROLLOUTS.make({"replay": {"variance": 0.7, "outcome": "right"}})),
    "self_imitation": case(ROLLOUTS.make({"self_imitation": {"steps": 4, "means": 20}})),
    "refill-rescale": case(ROLLOUTS.make({"refill": {"rescale": True, "max_tokens": 1000}})),
    "prompt_augmentation": case(ROLLOUTS.make("prompt_augmentation")),
    "prompt_augmentation-two": case(ROLLOUTS.make({"prompt_augmentation": {"templates": ["tags", "as_is"]}})),
    "temperature": case(ROLLOUTS.make({"temperature": {"start": 1.3, "end": 0.8, "over": 0.6}})),
    "temperature-cosine": case(ROLLOUTS.make({"temperature": {"start": 1.2, "end": 1.0, "shape": "cosine"}})),
    "temperature-constant": case(ROLLOUTS.make({"temperature": {"start": 0.7}})),
    "truncate": case(ROLLOUTS.make("truncate")),
    "truncate-often": case(ROLLOUTS.make({"truncate": {"alpha": 0.3, "least": 1, "outcome": "right"}})),
    "aepo": case(ROLLOUTS.make("aepo")),
    "cure": case(ROLLOUTS.make("cure")),
    "cure-one": case(ROLLOUTS.make({"cure": {"first": 1, "top": 1}})),
}
MULTIPLE_CHOICE = Candidate("Which?\nA. one\nB. two\nC. three\nD. four", "For a reason.\nAnswer: B", "B")
ENTRY = json.dumps({"question": "1+1", "answer": "2", "metadata": {}})
STATELESS = {
    "columns": case(ARMS.make({"columns": {"names": ["level"]}})),
    "columns-joint": case(ARMS.make({"columns": {"names": ["topic", "level"]}})),
    "clusters": case(ARMS.make({"clusters": {"k": 2}})),
    "clusters-column": case(ARMS.make({"clusters": {"k": 3, "column": "vector"}})),
    "success_rate": case(ARMS.make({"success_rate": {"bins": 4, "every": 2}})),
    "loss": case(PROBES.make("loss")),
    "angle_concentration": case(PROBES.make({"angle_concentration": {"weight": 1.0}})),
    "prefix_entropy": case(PROBES.make({"prefix_entropy": {"length": 32}})),
    "prompt_entropy": case(PROBES.make({"prompt_entropy": {"token_share": 0.5}})),
    "exact_match": case(REWARDS.make("exact_match"), columns={"answer": ["4", "4", "4", None]}),
    "exact_match-boxed": case(REWARDS.make({"exact_match": {"boxed_bonus": 0.1}}), columns={"answer": ["5"] * 4}),
    "math_accuracy": case(REWARDS.make("math_accuracy"), columns={"answer": ["4", "4", "4", None]}),
    "multiple_choice_accuracy": case(
        REWARDS.make("multiple_choice_accuracy"), columns={"right_letter": ["A", "B", "B", None]}
    ),
    "reasoning_gym_accuracy": case(
        REWARDS.make("reasoning_gym_accuracy"), columns={"family": ["chain_sum"] * 4, "entry": [ENTRY] * 3 + [None]}
    ),
    "reasoning_gym_score": case(
        REWARDS.make("reasoning_gym_score"), columns={"family": ["chain_sum"] * 4, "entry": [ENTRY] * 3 + [None]}
    ),
    "format_length": case(
        REWARDS.make({"format_length": {"longest": 3}}),
        completions=[r"<think>2+2</think> So \boxed{4}", "The answer is 4", "no idea"],
    ),
    "rl_struct": case(
        REWARDS.make({"rl_struct": {"keys": ["reasoning", "answer"]}}),
        completions=['{"answer": 4, "reasoning": "so"}', '```json\n{"answer": 4}\n```', "[4]", '{"answer', "4"],
    ),
    "tarot": case(
        REWARDS.make("tarot"),
        completions=["```python\nprint(int(input()) + 1)\n```", "It is 4.", "```python\nprint(\n```", "4"],
        columns={"tests": [[{"label": "basic", "input": "3", "output": "4\n"}]] * 3 + [None]},
    ),
    "template_format": case(
        REWARDS.make("template_format"),
        completions=["It is 4.", r"So \boxed{4}", "<think>2</think> <answer>4</answer>", "4"],
        columns={"prompt_template": ["boxed", "boxed", "tags", None]},
    ),
    "random": case(SELECTION.make("random")),
    "all": case(SELECTION.make("all"), keeps_all=True),
    "attribution": case(SELECTION.make("attribution")),
    "attr_div": case(SELECTION.make("attr_div")),
    "diversity": case(SELECTION.make("diversity")),
    "diversity-in-turn": case(SELECTION.make({"diversity": {"order": "round_robin"}})),
    "evoselect": case(SELECTION.make("evoselect")),
    "evoselect-alternate": case(SELECTION.make({"evoselect": {"mode": "alternate"}})),
    "tsds": case(SELECTION.make("tsds"), repeats=True),
    "file": case(GENERATORS.make({"file": {"path": str(Path(__file__).parent / "rows.jsonl")}})),
    "procedural": case(GENERATORS.make({"procedural": {"family": "chain_sum", "wrong": 0.4}})),
    "language_model": case(GENERATORS.make({"language_model": {"shots": 2}}), writes=False),
    "evolve": case(ROUNDS.make({"evolve": {"keep": 0.3, "features": {"dimension": 64}}})),
    "open_question": case(TEMPLATES.make("open_question")),
    "open_question-chat": case(TEMPLATES.make({"open_question": {"chat": True}})),
    "multiple_choice": case(TEMPLATES.make("multiple_choice"), examples=[MULTIPLE_CHOICE]),
    "instruction": case(TEMPLATES.make("instruction")),
    "edco_code": case(BUNDLES.make({"edco_code": {"top_n": 20}})),
    "dot": case(BUNDLES.make({"dot": {"outcome": "right"}})),
    "ceeh": case(BUNDLES.make("ceeh")),
    "light_if": case(BUNDLES.make("light_if")),
    "light_if-sft": case(BUNDLES.make({"light_if": {"stage": "sft"}})),
    "spear": case(BUNDLES.make({"spear": {"steps": 50}})),
    "cures_bundle": case(BUNDLES.make("cures")),
}


def make(variant: str, over: Pool | None = None, seed: int = 0) -> Curriculum:
    return VARIANTS[variant].bind(over, seed)
