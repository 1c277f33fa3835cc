"""Every curriculum with simulated learners in every world, against uniform and its own placebo.

    python evals/learning/simulated.py          # everything that is reported
    python evals/learning/simulated.py --seeds 1 2 3 4 5 6 --out runs/look   # a look, with other seeds

Needs no model and no torch. The numbers of every run go to `docs/results/simulated.csv`, the tables to
`docs/results/simulated.md`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import pandas as pd
from simulated_report import write_report
from tqdm.auto import tqdm

from trl_curriculum.arms import ARMS
from trl_curriculum.curricula import CURRICULA
from trl_curriculum.disk.atomic import atomic_write
from trl_curriculum.disk.state import write_json
from trl_curriculum.evaluation.scores import scores
from trl_curriculum.evaluation.simulated import simulate
from trl_curriculum.evaluation.worlds import WORLDS


ROOT = Path(__file__).resolve().parents[2]
STEPS, BATCH = 160, 16
SEEDS = tuple(range(101, 111))
STRETCHED = {"total_draws": STEPS * BATCH}  # one pass of the order is one run
OFTEN = {"refresh_steps": 10}
GRPO: dict[str, Any] = {
    "sec": {"sec": {"tau": 0.2}},
    "sec, tau 1": "sec",
    "sec, arms estimated": {"sec": {"tau": 0.2}},
    "dump": "dump",
    "dump, arms estimated": "dump",
    "ucb1": {"ucb1": {"round_batches": 5}},
    "edco": {"edco": {"rounds": 8}},
    **{name: name for name in ("greso", "mopps", "cures", "lilo", "lze")},
    "adarft": "adarft",
    "gain_rl": {"gain_rl": {"width": 30.0, "step": 40.0, "subset": 64}},  # ranks of some hundred rows
    "wiki_r1, no neighbours": "wiki_r1",
    "pudf": {"pudf": {"refresh_steps": 5}},
    "hive": "hive",
    "alp_gmm": {"alp_gmm": {"parameters": "difficulty", "every": 320, "most": 5}},
}
SFT: dict[str, Any] = {
    "self_paced": {"self_paced": OFTEN},
    "loss_top_k": {"loss_top_k": OFTEN},
    "data_maps": {"data_maps": OFTEN},
    "cyclical": "cyclical",
    "evo_curate": {"evo_curate": OFTEN},
    "evo_curate, std": {"evo_curate": OFTEN | {"variability": "std"}},
    "evo_curate, probe": {"evo_curate": OFTEN | {"measure": "probe"}},
    "edco": {"edco": {"rounds": 8}},
    "pudf, loss": {"pudf": {"refresh_steps": 5, "response": "loss", "difficulty": "probe"}},
}
BOTH: dict[str, Any] = {
    "order": {"order": STRETCHED},
    "order, hard to easy": {"order": STRETCHED | {"mode": "hard_to_easy"}},
    "baby_steps": "baby_steps",
    "competence": "competence",
    "e2h": "e2h",
    "e2h, cosine": {"e2h": {"form": "cosine"}},
    "rmt_tiers": "rmt_tiers",
}
METHODS = {"GRPO": GRPO | {"mixture, equal arms": {"mixture": {"temperature": 1000.0}}} | BOTH, "SFT": SFT | BOTH}


def train(world: str, trainer: str, spec: Any, seed: int, estimated: bool = False) -> pd.DataFrame:
    """One run."""
    arms = ARMS.make("success_rate") if estimated else None
    method = CURRICULA.make(spec)
    return simulate(method, WORLDS[world], seed, STEPS, BATCH, trainer=trainer, estimated=arms)  # type: ignore[arg-type]


def compare(world: str, trainer: str, seed: int) -> list[dict[str, Any]]:
    """Scores of all methods of a trainer in a world with a seed."""
    uniform, since = train(world, trainer, "uniform", seed), WORLDS[world].shifts_at(STEPS)
    found = [{"method": "uniform"} | scores(uniform, uniform, uniform, since)]
    for name, spec in METHODS[trainer].items():
        estimated = "estimated" in name
        run, placebo = (train(world, trainer, one, seed, estimated) for one in (spec, {"placebo": {"of": spec}}))
        found.append({"method": name} | scores(run, uniform, placebo, since))
        found.append({"method": f"placebo of {name}"} | scores(placebo, uniform, None, since))
    return [{"world": world, "trainer": trainer, "seed": seed} | one for one in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--worlds", nargs="+", choices=list(WORLDS), default=list(WORLDS))
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of simulated.{md,csv}")
    args = parser.parse_args()
    began, busy = time.monotonic(), time.process_time()
    todo = [(world, trainer, seed) for world in args.worlds for trainer in METHODS for seed in args.seeds]
    rows = [row for one in tqdm(todo, desc="Simulating") for row in compare(*one)]
    frame = pd.DataFrame(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    with atomic_write(args.out / "simulated.csv") as draft:
        frame.to_csv(draft, index=False, float_format="%.4f")
    took = {"seconds": round(time.monotonic() - began), "cpu_seconds": round(time.process_time() - busy)}
    write_json(args.out / "simulated.json", {"steps": STEPS, "batch": BATCH, "seeds": [*args.seeds]} | took)
    write_report(args.out)


if __name__ == "__main__":
    main()
