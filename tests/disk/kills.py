"""
Kills commands at random times and starts them again with the same words until they are done; what they leave must be
equal, bit for bit, to what an undisturbed run leaves. `make kills` writes docs/results/kills.md.
"""

import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


ROOT = Path(__file__).parents[2]
if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/cases"), str(ROOT)]

import make_data  # noqa: E402
import make_models  # noqa: E402
import pandas as pd  # noqa: E402
from commands import command  # noqa: E402

from trl_curriculum.report.history import read_history  # noqa: E402
from trl_curriculum.report.kept import FOLDER as TEXTS  # noqa: E402
from trl_curriculum.report.kept import read_texts  # noqa: E402


TRAINED = "--save_strategy steps --save_steps 2 --save_total_limit 2 --resume_from_checkpoint auto"
CPU = "--use_cpu --bf16 false --report_to none --disable_tqdm true"
FEATURES = """--features '{"dimension": 64}' --proxy '{"steps": 4}'"""
COMMANDS = {
    "sft": f"sft --model_name_or_path models/tiny {CPU} --gradient_checkpointing false --dataset_name data/texts "
    "--arms topic --per_device_train_batch_size 2 --max_length 64 --max_steps 30 --packing true "
    f"""--curriculum '{{"evo_curate": {{"measure": "probe", "refresh_steps": 7}}}}' {TRAINED} --output_dir OUT""",
    "grpo": f"grpo --model_name_or_path models/tiny {CPU} --gradient_checkpointing false --dataset_name data/prompts "
    "--arms topic --reward_funcs kill_rewards.even --per_device_train_batch_size 4 --num_generations 2 "
    "--max_completion_length 8 --steps_per_generation 3 --max_steps 24 --learning_rate 1e-3 "
    f"--curriculum sec {TRAINED} --output_dir OUT",
    "evolve": f"evolve --model_name_or_path models/tiny {CPU} --gradient_checkpointing false "
    "--dataset_name data/evolve --use_peft true --lora_target_modules all-linear --rounds 2 "
    "--candidates 32 --max_steps 6 --max_length 64 --per_device_train_batch_size 2 --max_answer_tokens 4 "
    f"""--near_duplicates 1 --keep 0.5 --generators '{{"file": {{"path": "data/pool/train.jsonl"}}}}' {FEATURES} """
    "--save_strategy steps --save_steps 2 --output_dir OUT",
    "select": f"select --model_name_or_path models/tiny {CPU} --candidates data/pool/train.jsonl "
    f"--targets data/targets/train.jsonl {FEATURES} --output_dir OUT",
    "score": "score --model_name_or_path models/tiny --use_cpu --dataset_name data/prompts "
    """--probe '{"prefix_entropy": {"length": 4, "quick_answer": null, "batch_tokens": 64}}' """
    "--out OUT/scores.parquet",
}
REWARD = """
def even(completions, **kwargs):
    return [float(sum(map(ord, str(one))) % 2) for one in completions]
"""


@dataclass(frozen=True)
class Row:
    """What came of one command: how often it was killed and brought to its end, and whether the ends are equal."""

    store: str
    kills: int
    ends: int
    equal: int
    seconds: float


def prepare(folder: Path) -> None:
    """Models, data and a reward for all commands."""
    make_models.make(folder / "models")
    make_data.make(folder / "data")
    (folder / "data/evolve").mkdir()
    lines = [{"prompt": f"e{i}?", "completion": f"ans {i % 7}", "answer": f"ans {i % 7}"} for i in range(10)]
    (folder / "data/evolve/train.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "kill_rewards.py").write_text(REWARD)


def left(store: str, out: Path) -> dict[str, Any]:
    """What a run has left: draws, weights, rows, scores; without times."""
    found: dict[str, Any] = {}
    for file in sorted(out.rglob("*")):
        name = str(file.relative_to(out))
        if any(part.startswith(("checkpoint-", "curriculum_history", TEXTS, ".")) for part in Path(name).parts):
            continue  # which checkpoints are left, and in how many files draws and texts are, depends on the kills
        if file.suffix in (".safetensors", ".npy"):
            found[name] = file.read_bytes()
        elif file.suffix == ".parquet":
            found[name] = pd.read_parquet(file).to_json()
        elif file.name == "done.json":
            found[name] = {key: value for key, value in json.loads(file.read_text()).items() if key != "seconds"}
    for folder in (out, *out.glob("round-*/adapter")) if store in ("sft", "grpo", "evolve") else ():
        found[f"draws {folder.relative_to(out)}"] = read_history(folder).to_json()
        found[f"texts {folder.relative_to(out)}"] = read_texts(folder).to_json()
    assert found, f"{store} has left nothing"
    return found


def kill_until_done(store: str, folder: Path, kills: int, seed: int, whole: dict[str, Any], seconds: float) -> Row:
    """
    Kills a command `kills` times, at times that are uniform over an undisturbed run, and compares each end.

    Raises:
        `AssertionError`: where a start ends otherwise than by the kill, or in success.
    """
    rng = np.random.default_rng([*map(ord, store), seed])
    done = ends = equal = 0
    start = time.monotonic()
    while done < kills:
        out = folder / "out" / f"{store}-{seed}-{ends}"
        while True:
            if store == "score" and (out / "scores.parquet").exists():
                break  # a second start would say that it is there
            after = float(rng.uniform(0.02, seconds)) if done < kills else None
            begun = time.monotonic()
            ran = command(argv(store, out), folder, kill_after=after)
            if ran.code != -9:
                assert ran.code == 0, ran.said[-4000:]
                seconds = min(seconds, time.monotonic() - begun)  # the machine may have been busier before
                break
            done += 1
        ends += 1
        equal += left(store, out) == whole
    return Row(store, done, ends, equal, time.monotonic() - start)


def argv(store: str, out: Path) -> list[str]:
    """The words of a command."""
    return shlex.split(COMMANDS[store].replace("OUT", str(out)))


def undisturbed(store: str, folder: Path) -> tuple[dict[str, Any], float]:
    """What a run without kills leaves, and how long it takes."""
    out, start = folder / "out" / store, time.monotonic()
    ran = command(argv(store, out), folder)
    seconds = time.monotonic() - start
    assert ran.code == 0, ran.said[-4000:]
    return left(store, out), seconds


def table(rows: list[Row]) -> str:
    """A Markdown table."""
    lines = ["| command | kills | runs brought to their end | equal to an undisturbed run |", "|---|---|---|---|"]
    lines += [f"| `{row.store}` | {row.kills} | {row.ends} | {row.equal} of {row.ends} |" for row in rows]
    total = [sum(getattr(row, name) for row in rows) for name in ("kills", "ends", "equal")]
    return "\n".join([*lines, f"| all | {total[0]} | {total[1]} | {total[2]} of {total[1]} |"])


PAGE = """# Kills

`make kills` starts each command as a process, kills it (SIGKILL) at a random time of its run, starts it again with the
same words, and so on until it is done: training by `resume_from_checkpoint: auto`, rounds, selections and scores
because they go on where they were. Draws, weights, kept rows and scores must then be those of a run that nobody
disturbed, bit for bit. The tiny model, on the CPU; times are drawn with fixed seeds.

{table}
"""


def main(each: int = 20, say: Callable[[str], None] = print) -> int:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for store in COMMANDS:
            whole, seconds = undisturbed(store, folder)
            rows.append(kill_until_done(store, folder, each, 0, whole, seconds))
            say(f"{rows[-1]}")
    say(table(rows))
    (ROOT / "docs/results/kills.md").write_text(PAGE.format(table=table(rows)))
    return int(any(row.equal < row.ends for row in rows))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20))
