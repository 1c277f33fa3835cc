"""Tables of the simulated learners: `python evals/learning/simulated_report.py` writes them anew from the numbers."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from trl_curriculum.disk.atomic import atomic_write
from trl_curriculum.evaluation.scores import WASTE, median
from trl_curriculum.evaluation.worlds import WORLDS
from trl_curriculum.report.markdown import table


RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results"
HEAD = """# Curricula with simulated learners

`make simulated` (`python evals/learning/simulated.py`) made this in {minutes:.0f} minutes on a busy machine, of which
it had one core for {busy:.0f}: {runs:,} runs of {steps} steps of {batch} rows, seeds {first} to {last}. Numbers of
every run: [simulated.csv](simulated.csv).

No model is trained here. A learner of a few formulas (`trl_curriculum/evaluation/learner.py`) practises what the real
curricula draw under the real conductor: items have difficulties, a draw adds ability in proportion to the slope of
what the row pays, and a share of that reaches the rest of the arm and its neighbours. So these tables say what a
curriculum does where those formulas hold, under conditions that a real run cannot set, such as rows that are known to
be impossible. They say nothing of how much a language model gains.

- *Competence* is the mean success rate on learnable rows that are held out; its mean over all steps is the area under
  its curve. Points are hundredths of that area.
- Medians over {seeds} seeds, with an interval that holds the true median with 95 % whatever the distribution is. Each
  difference is of two runs over the same rows. **Bold**: the whole interval is above 0. *Italic*: all of it is below.
- The placebo of a method chooses as the method does, and trains on other arms or rows in place of those: see
  [placebo](../methods.md#placebo).
- Bandits follow rewards and stand under GRPO alone; what follows losses stands under SFT; all others under both.

{worlds}
Settings: `sec` at τ = .2 but where τ = 1 is named; `ucb1` in rounds of 5 batches; methods that follow losses refresh
every 10 steps (`cyclical` by its own parts), `pudf` every 5; `edco` in 8 rounds; `order` makes one pass in the run;
`gain_rl` has a window and steps for some hundred rows, `alp_gmm` five Gaussians at most; all else by default.
"""
ABOUT = {
    "ladder": "6 arms from easy to out of reach, everything learnable",
    "mostly_dead": "4 arms that can be learned, 8 that nobody can",
    "noisy": "a tenth of the rows has a wrong gold, a twentieth pays by a coin, and so does all of a seventh arm; 5 % "
    "of the rewards are flipped",
    "duplicates": "each row of the easiest arm six times",
    "forgetting": "2 % of an ability is lost in each step without practice",
    "plateau": "an arm can be learned only when the one before it is at 70 %",
    "shift": "after half of the training the easier half of the arms becomes much harder",
}


def cell(values: pd.Series, unit: float = 100) -> str:
    """Median and interval; bold where all of it is above 0, italic where all of it is below."""
    middle, low, high = (unit * value for value in median(values.to_numpy()))
    text = f"{middle:+.1f} [{low:+.1f}, {high:+.1f}]"
    return f"**{text}**" if low > 0 else f"*{text}*" if high < 0 else text


def differences(frame: pd.DataFrame, score: str) -> str:
    """Methods by worlds: how far above `uniform` or the placebo."""
    worlds = list(frame["world"].unique())
    methods = [name for name in frame["method"].unique() if name != "uniform" and not name.startswith("placebo")]
    rows = [[name, *(cell(_of(frame, world, name)[score]) for world in worlds)] for name in methods]
    if score == "over_uniform":
        areas = (100 * _of(frame, world, "uniform")["area"].median() for world in worlds)
        rows.insert(0, ["`uniform`: its area", *(f"{area:.1f}" for area in areas)])
    return table(["method", *worlds], rows)


def details(frame: pd.DataFrame) -> str:
    """What methods and placebos did in one world: medians."""
    columns = ["area", "final", "time", *WASTE, "coverage", "zero_variance"]
    columns = [
        name for name in columns if frame[name].notna().any() and (name not in WASTE or (frame[name] > 0).any())
    ]
    found = frame.groupby("method", sort=False)[columns].median()
    rows = [
        [str(name), *("–" if not np.isfinite(value) else f"{value:.2f}" for value in row)]
        for name, row in zip(found.index, found.itertuples(index=False), strict=True)
    ]
    return table(["method", *(name.replace("_", " ") for name in columns)], rows)


def verdicts(frame: pd.DataFrame) -> str:
    """In which worlds a method is above both uniform and its placebo, and in which below uniform."""
    rows = []
    for trainer, part in frame.groupby("trainer", sort=False):
        for name in part["method"].unique():
            if name == "uniform" or name.startswith("placebo"):
                continue
            wins, loses = [], []
            for world in part["world"].unique():
                one = _of(part, world, name)
                uniform, placebo = (median(one[score].to_numpy()) for score in ("over_uniform", "over_placebo"))
                wins += [world] if uniform[1] > 0 and placebo[1] > 0 else []
                loses += [world] if uniform[2] < 0 else []
            rows.append([f"{name} ({trainer})", ", ".join(wins) or "–", ", ".join(loses) or "–"])
    return table(["method", "above uniform and its placebo", "below uniform"], rows)


def _of(frame: pd.DataFrame, world: str, method: str) -> pd.DataFrame:
    return frame[(frame["world"] == world) & (frame["method"] == method)]


def write_report(folder: Path = RESULTS) -> None:
    """Writes the tables from the numbers in a folder."""
    frame, facts = pd.read_csv(folder / "simulated.csv"), json.loads((folder / "simulated.json").read_text())
    worlds = [[f"`{name}`", ABOUT[name]] for name in WORLDS]
    head = HEAD.format(
        minutes=facts["seconds"] / 60,
        busy=facts["cpu_seconds"] / 60,
        runs=len(frame),
        steps=facts["steps"],
        batch=facts["batch"],
        first=facts["seeds"][0],
        last=facts["seeds"][-1],
        seeds=len(facts["seeds"]),
        worlds=table(["world", "what is in it"], worlds),
    )
    parts = [head, "## In short\n\n" + verdicts(frame) + NOTES]
    for trainer, part in frame.groupby("trainer", sort=False):
        parts.append(f"## {trainer}: points over `uniform`\n\n" + differences(part, "over_uniform"))
        parts.append(f"## {trainer}: points over the method's own placebo\n\n" + differences(part, "over_placebo"))
    parts.append(DETAILS)
    for (world, trainer), part in frame.groupby(["world", "trainer"], sort=False):
        parts.append(f"### {world}, {trainer}\n\n" + details(part))
    with atomic_write(folder / "simulated.md") as draft:
        draft.write_text("\n".join(parts))


DETAILS = """## What they did, world by world

Medians. *time*: share of the steps until a run reaches what `uniform` had reached in the end, counted from the shift
where there is one; – where it never does. *solved*, *impossible*, *noisy* and *locked*: shares of draws on rows with a
success rate of .95 and more, on rows that never pay, on coins and paying wrong golds, and on rows behind a plateau.
*zero variance*: share of groups whose rewards are all equal.
"""
NOTES = """
What does not win, and why:

- *Coins and wrong golds draw bandits.* |A| measures disagreement, so in `noisy` SEC spends half of its draws on rows
  that teach nothing or teach what is wrong, where `uniform` spends a quarter. It stays a little ahead all the same;
  DUMP does not, and both fall behind where arms are estimated: coins stay in the middle buckets for ever. `mopps`
  and `lilo` look for rows that are solved half of the time, which coins always are; `greso` and `lze` do so less.
- *What follows losses takes what cannot be learned for what is not learned yet.* `loss_top_k` gives nearly all draws
  of `mostly_dead` to impossible rows and nearly all of `plateau` to locked ones; `edco` and `hive` do the same there.
  Where all can be learned, the same choice is above `uniform` and its placebo (`ladder`, `duplicates`, `shift`).
- *What begins with the easy rows loses where nothing has to come first.* In SFT, where a hard row teaches most,
  `baby_steps`, `competence`, `self_paced` and `cyclical` fall below `uniform` in `ladder`, and further where easy rows
  are there six times or become hard when their time is over. They win where hard rows are impossible or locked.
- *`evo_curate` moves little here*: one to three points in `mostly_dead`, under one in `plateau`, nothing in `ladder`;
  below `uniform` in `noisy`, `duplicates` and `shift`. The variant under the paper's name (`std`) is no better than
  the default.
- *`ucb1` prefers what is rewarded*, so what is easy: it is above its placebo in `plateau` alone.
- *`mixture` with equal arms* is `uniform` but for `duplicates`, where its gain is that of equal arms, not of any
  signal: its placebo, which exchanges equal weights, gains the same.
- *`order` in one pass draws each row several times running*, and in this learner the gains of one step add up. Its
  placebo, a random order with the same repeats, is above `uniform` in most worlds by that alone; only what `order` has
  over its placebo is the order's worth.
- *Forgetting of 2 % a step* leaves little to win by any choice of rows in SFT: all differences are within two points.
"""


if __name__ == "__main__":
    write_report()
