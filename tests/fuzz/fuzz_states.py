"""Checkpoints, histories, stage folders and partial scores that were damaged, and resumes of something else."""

import copy
import dataclasses
import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_kit import FREE, HARMLESS, NOTICE, Input, Runner, Scene, name, write_rows
from fuzz_scenes import PROBE, SCENES


STOP_AFTER = 2  # checkpoints that are left of four
SAVED = {"max_steps": 4, "save_strategy": "steps", "save_steps": 1}


def stopped(scene: Scene, first: Callable[[Path], None] = lambda folder: None) -> Callable[[Path], None]:
    """Fills a folder with what a run of a scene had left when it was stopped; made once."""

    def start(folder: Path) -> None:
        home = folder.parents[1]
        kept = home / "stopped" / scene.name
        if not kept.exists():
            work = home / "runs" / f"stopped-{scene.name}-{os.getpid()}"
            shutil.rmtree(work, ignore_errors=True)
            runner = Runner(home)
            runner._fill(work, scene, None)
            first(work)
            done, _ = runner._execute(work, scene, (), False)
            if done.code not in (0, 130):
                raise RuntimeError(f"The run to be stopped, {scene.name}, ends with {done.code}: {done.said[-2000:]}")
            _cut_back(work)
            for one in ("models", ".cache", ".stdout", ".stderr", ".digest", "config.yaml"):
                path = work / one
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            kept.parent.mkdir(exist_ok=True)
            try:
                work.rename(kept)
            except OSError:  # another process was faster
                shutil.rmtree(work)
        shutil.copytree(kept, folder, dirs_exist_ok=True)

    return start


def _cut_back(work: Path) -> None:
    """Takes away what a run leaves at its end, and its last checkpoints."""
    out = work / "out"
    if not out.exists():
        return
    if (out / "curriculum_history").exists():
        for path in out.iterdir():
            if path.is_file():
                path.unlink()
        for path in out.glob("checkpoint-*"):
            if int(path.name.split("-")[1]) > STOP_AFTER:
                shutil.rmtree(path)
    for last in ("evoselect", "round-*/selection", "round-*/adapter", "round-*/scores"):
        for path in [*out.glob(last)]:
            shutil.rmtree(path)


def _interrupt(folder: Path) -> None:
    """A scoring that is interrupted after two batches; in the process that runs it."""
    from trl_curriculum.disk import partial

    original = partial._Partial.save

    def save(self: Any, done: int, now: bool = False) -> None:
        original(self, done, now=now or done >= 2)
        if done >= 2 and not now:
            raise KeyboardInterrupt

    partial._Partial.save = save  # type: ignore[method-assign]


def _runs() -> dict[str, Scene]:
    """The runs that are stopped and resumed."""
    more: dict[str, tuple[str, dict[str, Any]]] = {
        "uniform": ("sft-pairs", {"curriculum": "uniform"}),
        "mixture": ("sft-arms", {}),
        "evo_curate": ("sft-pairs", {"curriculum": {"evo_curate": {"refresh_steps": 1, "variability": "std"}}}),
        "self_paced": ("sft-both", {"curriculum": {"self_paced": {"refresh_steps": 1}}}),
        "edco": ("sft-edco", {"curriculum": {"edco": {"rounds": 2}}, "probe": PROBE}),
        "order": ("sft-order", {}),
        "cyclical": ("sft-pairs", {"curriculum": "cyclical"}),
        "sec": ("grpo-arms", {"curriculum": {"sec": {"tau": 0.3}}}),
        "dump": ("grpo-arms", {"curriculum": "dump"}),
        "ucb1": ("grpo-arms", {"curriculum": {"ucb1": {"round_batches": 1}}, "difficulty_column": "level"}),
        "success": ("grpo-arms", {"arms": {"success_rate": {"bins": 2, "every": 1, "outcome": "letters"}}}),
        "refill": ("grpo-plain", {"rollouts": ["refill"], "shaping": ["budget"]}),
        "window": ("grpo-arms", {"steps_per_generation": 2, "gradient_accumulation_steps": 1, "num_iterations": 2}),
    }
    found = {}
    for key, (scene, config) in more.items():
        base = SCENES[scene]
        whole = dataclasses.replace(base, name=f"{key}-run", config=base.config | SAVED | config)
        resumed = whole.config | {"resume_from_checkpoint": True}
        found[key] = dataclasses.replace(whole, name=f"{key}-resumed", config=resumed, start=stopped(whole))
    return found


RUNS = _runs()
_select = dataclasses.replace(
    SCENES["select"], name="select-run", config=SCENES["select"].config | {"selection": {"evoselect": {"steps": 5}}}
)
_evolve = dataclasses.replace(
    SCENES["evolve"], name="evolve-run", config=SCENES["evolve"].config | {"selection": {"evoselect": {"steps": 5}}}
)
STAGES = {
    "select": dataclasses.replace(_select, name="select-resumed", start=stopped(_select)),
    "evolve": dataclasses.replace(_evolve, name="evolve-resumed", start=stopped(_evolve)),
}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [leaf for key, one in value.items() for leaf in [(*path, key), *_leaves(one, (*path, key))]]
    if isinstance(value, list):
        return [leaf for key, one in enumerate(value[:20]) for leaf in [(*path, key), *_leaves(one, (*path, key))]]
    return []


ODD = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    0,
    1,
    10**20,
    -(10**20),
    0.5,
    1.5,
    "x",
    "",
    None,
    True,
    [],
    [1, 2],
    {},
    {"a": 1},
]


def edit_json(file: Path, rng: random.Random) -> str:
    """Replaces, removes or adds one value."""
    content = json.loads(file.read_text())
    leaves = _leaves(content)
    if not leaves or rng.random() < 0.05:
        file.write_text(json.dumps(rng.choice([[], {}, None, 3, "x"])))
        return "all"
    path = rng.choice(leaves)
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    what = rng.choice(["replace", "replace", "replace", "nudge", "remove", "add"])
    old = parent[path[-1]]
    if what == "nudge" and isinstance(old, int | float) and not isinstance(old, bool):
        parent[path[-1]] = old + rng.choice([-1, 1, 0.25])
    elif what == "remove":
        del parent[path[-1]]
    elif what == "add" and isinstance(parent, dict):
        parent["nosuch"] = rng.choice(ODD)
    else:
        parent[path[-1]] = rng.choice(ODD)
        what = f"{parent[path[-1]]!r}"
    file.write_text(json.dumps(content))
    return f"{'.'.join(map(str, path))}: {what}"


def edit_arrays(file: Path, rng: random.Random) -> str:
    """Changes one array of an .npz or .npy file."""
    loaded = np.load(file)
    arrays = dict(loaded) if file.suffix == ".npz" else {"": loaded}
    which = rng.choice(sorted(arrays))
    array = np.array(arrays[which])
    what = rng.choice(
        ["dtype", "longer", "shorter", "shape", "nan", "negative", "huge", "one value", "gone", "text", "zeros"]
    )
    if what == "dtype":
        array = array.astype(rng.choice(["float32", "int8", "complex64", "bool", "float16"]))
    elif what == "longer":
        array = np.concatenate([array.ravel(), array.ravel()[:1]]) if array.size else np.ones(3)
    elif what == "shorter":
        array = array.ravel()[:-1] if array.size else np.ones((2, 2))
    elif what == "shape":
        array = array[None]
    elif what == "text":
        array = np.array(["x"] * max(1, array.size))
    elif what == "zeros":
        array = np.zeros_like(array)
    elif array.size and what in ("nan", "negative", "huge", "one value"):
        value = {"nan": math.nan, "negative": -5, "huge": 1e30, "one value": 1}[what]
        if array.dtype.kind not in "fc":
            value = {"nan": -1, "negative": -5, "huge": 2**31 - 1, "one value": 1}[what]
        flat = array.reshape(-1).copy()
        with np.errstate(all="ignore"):
            flat[rng.randrange(flat.size)] = np.array(value).astype(array.dtype) if array.dtype.kind != "U" else "y"
        array = flat.reshape(array.shape)
    arrays[which] = array
    if what == "gone":
        del arrays[which]
    if file.suffix == ".npz":
        np.savez(file, **arrays)
    elif what != "gone":
        np.save(file, array)
    return f"{which}: {what}"


def flip(file: Path, rng: random.Random) -> str:
    content = bytearray(file.read_bytes())
    if not content:
        return "nothing"
    place = rng.randrange(len(content))
    content[place] ^= 1 << rng.randrange(8)
    file.write_bytes(content)
    return f"byte {place}"


def cut(file: Path, rng: random.Random) -> str:
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * rng.choice([0, 0.01, 0.3, 0.7, 0.99]))])
    return f"cut to {file.stat().st_size} of {len(content)} bytes"


def remove(file: Path, rng: random.Random) -> str:
    file.unlink()
    return "removed"


def garbage(file: Path, rng: random.Random) -> str:
    file.write_bytes(rng.randbytes(200))
    return "garbage"


def folder_instead(file: Path, rng: random.Random) -> str:
    file.unlink()
    file.mkdir()
    return "a folder"


def longer(file: Path, rng: random.Random) -> str:
    file.write_bytes(file.read_bytes() + b"\x00" * 20)
    return "zeros at the end"


def foreign_table(file: Path, rng: random.Random) -> str:
    import pandas as pd

    frame = pd.DataFrame({"x": [1, 2]})
    what = rng.choice(["a foreign table", "no rows", "NaN rows", "a column gone", "negative rows", "texts"])
    if what != "a foreign table":
        frame = pd.read_parquet(file)
        if what == "no rows":
            frame = frame[:0]
        elif what == "a column gone":
            frame = frame.drop(columns=rng.choice(list(frame.columns)))
        else:
            column = rng.choice(list(frame.columns))
            frame[column] = {"NaN rows": math.nan, "negative rows": -7, "texts": "x"}[what]
    frame.to_parquet(file, index=False)
    return what


ANY = {"flip": flip, "cut": cut, "remove": remove, "garbage": garbage, "folder": folder_instead, "longer": longer}


def ways(file: Path) -> dict[str, Callable[[Path, random.Random], str]]:
    """How a file can be damaged."""
    if file.suffix == ".json" and file.name not in ("tokenizer.json",):
        return ANY | {"values": edit_json, "more values": edit_json, "still more": edit_json}
    if file.suffix in (".npz", ".npy"):
        return ANY | {"arrays": edit_arrays, "more arrays": edit_arrays, "still more": edit_arrays}
    if file.suffix == ".parquet":
        return ANY | {"table": foreign_table, "more tables": foreign_table}
    return dict(ANY)


def damage(root: Path, files: list[Path], rng: random.Random) -> tuple[Path, str]:
    """Damages one of these files."""
    file = rng.choice(files)
    way = rng.choice(sorted(ways(file)))
    return file, ways(file)[way](file, rng)


WEIGHT = {  # how often a file of a checkpoint is chosen
    "state.json": 10,
    "arrays.npz": 10,
    "trainer_state.json": 5,
    "optimizer.pt": 2,
    "scheduler.pt": 2,
    "rng_state.pth": 2,
    "model.safetensors": 2,
    "config.json": 1,
    "training_args.bin": 1,
    "tokenizer.json": 1,
}


def checkpoint(rng: random.Random) -> Input:
    """A checkpoint of which a file is damaged; the newest, or all of them."""
    key = rng.choice(list(RUNS))
    scene = RUNS[key]
    wanted = rng.choices(list(WEIGHT), list(WEIGHT.values()))[0]
    every, state = rng.random() < 0.25, rng.random()
    told: list[str] = []

    def prepare(folder: Path) -> None:
        for path in sorted(folder.glob("out/checkpoint-*"))[0 if every else -1 :]:
            files = [file for file in path.rglob(wanted) if file.is_file()]
            if files:
                told.append(damage(path, files, random.Random(state))[1])

    tokens = (*name(wanted, "checkpoint-", "curriculum"), r"(?i)state|optimizer|scheduler", "complete checkpoint")
    what = f"{key}: {wanted} of {'all' if every else 'the newest'}"
    found = Input(f"checkpoint: {wanted}", scene, NOTICE, tokens, prepare=prepare, what=what)
    return _described(found, told)


def _described(found: Input, told: list[str]) -> Input:
    """The same input; what was changed is known once it has been."""
    return dataclasses.replace(found, told=told)


def history(rng: random.Random) -> Input:
    """A history of draws that is damaged."""
    key = rng.choice(list(RUNS))
    state = rng.random()
    told: list[str] = []

    def prepare(folder: Path) -> None:
        random_ = random.Random(state)
        where = folder / "out/curriculum_history"
        if random_.random() < 0.2:
            what = random_.choice(["a foreign file", "all gone", "a file twice", "a file instead"])
            files = sorted(where.iterdir())
            if what == "a foreign file":
                (where / random_.choice(["draws-x.parquet", "notes.txt", "draws-9.parquet"])).write_text("x")
            elif what == "all gone":
                shutil.rmtree(where)
            elif what == "a file twice":
                shutil.copy(files[0], where / "draws-000000000007.parquet")
            else:
                shutil.rmtree(where)
                where.write_text("x")
            told.append(what)
        else:
            told.append(damage(where, sorted(where.iterdir()), random_)[1])

    tokens = ("history", "draws-")
    return _described(Input("history", RUNS[key], NOTICE, tokens, prepare=prepare, what=f"{key}: history"), told)


def stage(rng: random.Random) -> Input:
    """The folder of a stage of `select` or `evolve` in which a file is damaged."""
    key = rng.choice(["select", "select", "evolve"])
    state = rng.random()
    told: list[str] = []

    def prepare(folder: Path) -> None:
        random_ = random.Random(state)
        files = sorted(file for file in (folder / "out").rglob("*") if file.is_file())
        skipped = ("README.md", "training_args.bin", "chat_template.jinja", "rejected.jsonl", "tokenizer_config.json")
        file, what = damage(folder, [file for file in files if file.name not in skipped], random_)
        told.append(f"{file.relative_to(folder)} {what}")

    stages = ("candidates", "proxy", "features", "scores", "adapter", "selection", "settings", "done", "stage")
    found = Input(f"stage of {key}", STAGES[key], NOTICE, stages, prepare=prepare, what=key)
    return _described(found, told)


ARGUMENTS: dict[str, list[tuple[str, Any, str]]] = {
    "sft": [
        ("max_length", 20, NOTICE),
        ("seed", 7, NOTICE),
        ("per_device_train_batch_size", 3, NOTICE),
        ("gradient_accumulation_steps", 2, NOTICE),
        ("packing", True, NOTICE),
        ("curriculum", "loss_top_k", NOTICE),
        ("curriculum", {"evo_curate": {"kappa": 0.1, "refresh_steps": 1}}, NOTICE),
        ("completion_only_loss", False, NOTICE),
        ("system_prompt", "be brief", NOTICE),
        ("arms", "level", NOTICE),
        ("lr_scheduler_type", "cosine", FREE),
        ("learning_rate", 1e-3, FREE),
        ("model_name_or_path", "models/short", NOTICE),
        ("max_steps", 5, FREE),
        ("max_steps", 2, FREE),
        ("max_steps", 1, NOTICE),
        ("use_peft", True, NOTICE),
        ("optim", "sgd", NOTICE),
        ("dataset_text_field", "nosuch", HARMLESS),
        ("resume_from_checkpoint", "out/checkpoint-9", NOTICE),
        ("resume_from_checkpoint", "out", NOTICE),
        ("resume_from_checkpoint", "out/checkpoint-1", FREE),
        ("resume_from_checkpoint", "models/tiny", NOTICE),
        ("output_dir", "elsewhere", NOTICE),
    ],
    "grpo": [
        ("seed", 7, NOTICE),
        ("num_generations", 4, NOTICE),
        ("per_device_train_batch_size", 2, NOTICE),
        ("steps_per_generation", 4, NOTICE),
        ("num_iterations", 3, NOTICE),
        ("temperature", 0.5, NOTICE),
        ("max_completion_length", 6, NOTICE),
        ("reward_funcs", ["fuzz_scenes.letters"], NOTICE),
        ("reward_weights", [1.0, 2.0], FREE),
        ("curriculum", {"sec": {"tau": 0.9}}, NOTICE),
        ("curriculum", "uniform", NOTICE),
        ("arms", "level", NOTICE),
        ("shaping", ["budget"], NOTICE),
        ("rollouts", ["refill"], NOTICE),
        ("beta", 0.1, FREE),
        ("loss_type", "dr_grpo", FREE),
        ("instruction", "think", FREE),
        ("system_prompt", "be brief", NOTICE),
    ],
}
DATA: dict[str, Callable[[list[dict[str, Any]]], Any]] = {
    "a row less": lambda rows: rows.pop(),
    "a row more": lambda rows: rows.append(rows[0] | {"prompt": "another?"}),
    "a row twice": lambda rows: rows.append(copy.deepcopy(rows[0])),
    "another order": lambda rows: rows.reverse(),
    "a letter changed": lambda rows: rows[3].update({k: f"{v}!" for k, v in rows[3].items() if isinstance(v, str)}),
    "another arm": lambda rows: rows[3].update({"topic": "c"}),
    "another difficulty": lambda rows: rows[3].update({"level": 9}),
    "one more column": lambda rows: [row.update({"note": k}) for k, row in enumerate(rows)],
    "a column less": lambda rows: [row.pop("level") for row in rows],
    "no rows": lambda rows: rows.clear(),
}


def resume(rng: random.Random) -> Input:
    """A run that is resumed with another argument, or on other rows."""
    key = rng.choice(list(RUNS))
    scene = RUNS[key]
    carry = rng.random() < 0.3
    more = {"on_data_change": "carry_over"} if carry else {}
    if rng.random() < 0.4:
        kind = rng.choice(list(DATA))

        def prepare(folder: Path) -> None:
            rows = copy.deepcopy(scene.files["data/train.jsonl"])
            DATA[kind](rows)
            write_rows(folder / "data/train.jsonl", rows)

        allowed = FREE if carry else NOTICE
        tokens = ("row", "data", "difficulty", "arm", "weights", "level", "train")
        what = f"{key}: resumed with {kind}{', carried over' if carry else ''}"
        return Input("resume: rows", scene, allowed, tokens, scene.config | more, prepare=prepare, what=what)
    argument, value, allowed = rng.choice(ARGUMENTS[scene.command])
    if scene.config.get(argument) == value:
        allowed = FREE
    what = f"{key}: resumed with {argument}={value!r}{', carried over' if carry else ''}"
    tokens = (*name(argument), "(?i)curriculum|batch|checkpoint|arms|rows|weights|model|option|shap|generat")
    config = scene.config | more | {argument: value}
    where = ("elsewhere",) if argument == "output_dir" else ()
    return Input("resume: arguments", scene, allowed, (*tokens, *where), config, what=what)


def fresh(rng: random.Random) -> Input:
    """A first start in a folder in which there is something already."""
    kind = rng.choice(["an earlier run", "a foreign history", "a foreign checkpoint", "a foreign stage", "a file"])
    scene = SCENES[rng.choice(["sft-pairs", "grpo-arms"])]
    if kind == "a foreign stage":
        scene = SCENES["select"]
    started = dataclasses.replace(scene, name=f"{scene.name}-run4", config=scene.config | SAVED)
    stage_name = rng.choice(["candidates", "proxy", "features", "random"])
    resuming = rng.random() < 0.5 and kind != "a foreign stage"

    def prepare(folder: Path) -> None:
        out = folder / "out"
        if kind == "an earlier run":
            stopped(started)(folder)
        elif kind == "a foreign history":
            (out / "curriculum_history").mkdir(parents=True)
            (out / "curriculum_history/mine.txt").write_text("mine")
        elif kind == "a foreign checkpoint":
            (out / "checkpoint-best").mkdir(parents=True)
            (out / "checkpoint-7").mkdir(parents=True)
        elif kind == "a foreign stage":
            (out / stage_name).mkdir(parents=True)
            (out / stage_name / "settings.json").write_text('{"mine": 1}')
        else:
            out.write_text("mine")

    tokens = ("history", "checkpoint", "out", stage_name)
    config = scene.config | ({"resume_from_checkpoint": True} if resuming else {})
    how = "resumed" if resuming else "started"
    return Input(
        f"folder: {kind}",
        scene,
        NOTICE,
        tokens,
        config,
        prepare=prepare,
        what=f"{scene.name} {how} in a folder with {kind}",
    )


_score = dataclasses.replace(
    SCENES["score-prompts"],
    name="score-run",
    config=SCENES["score-prompts"].config
    | {"probe": {"prefix_entropy": PROBE["prefix_entropy"] | {"batch_tokens": 40}}},
)


def partial_scores(rng: random.Random) -> Input:
    """Partial scores that are damaged."""
    state = rng.random()
    told: list[str] = []
    scene = dataclasses.replace(_score, name="score-resumed")

    def prepare(folder: Path) -> None:
        interrupted = dataclasses.replace(_score, body=_interrupt, name="score-interrupted")
        stopped(interrupted)(folder)
        files = sorted(file for file in folder.glob(".out.parquet*/**/*") if file.is_file())
        if not files:
            raise RuntimeError("An interrupted scoring leaves no partial scores.")
        told.append(damage(folder, files, random.Random(state))[1])

    found = Input(
        "partial scores",
        scene,
        NOTICE,
        ("prefix_entropy", r"\.npz", "scores", r"\.out"),
        prepare=prepare,
        what="score",
    )
    return _described(found, told)


MAKERS = {checkpoint: 55, history: 10, stage: 14, resume: 20, fresh: 4, partial_scores: 5}


def make(rng: random.Random) -> Input:
    """An input of this kind."""
    return rng.choices(list(MAKERS), list(MAKERS.values()))[0](rng)
