"""Writes the small data of the cases that is easier made than kept."""

import json
from pathlib import Path

from datasets import Dataset


def write(folder: Path, rows: list[dict], encoding: str = "utf-8", file: str = "train.jsonl") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text("".join(json.dumps(r) + "\n" for r in rows), encoding=encoding)


def turn(role: str, content: str | None) -> dict:
    return {"role": role, "content": content}


def make(data: Path) -> None:
    """All of them, each in a folder of its own under `data`."""

    def put(name: str, rows: list[dict], *args: str, **kwargs: str) -> None:
        write(data / name, rows, *args, **kwargs)

    texts = [{"text": f"row {i}", "topic": "ab"[i % 2]} for i in range(8)]
    pool = [{"prompt": f"q{i}?", "completion": f"ans {i % 7}", "source": "ab"[i % 2]} for i in range(32)]
    chats = [[turn("user", f"q{i}"), turn("assistant", f"a{i}")] for i in range(8)]
    put("texts", texts)
    put("texts_extra_column", [r | {"note": i} for i, r in enumerate(texts)])
    put("texts_arms_renamed", [r | {"topic": r["topic"].upper()} for r in texts])
    put("markup_open", [{"text": f"row {i}", "topic": ["[math]", "[code]"][i % 2]} for i in range(8)])
    put("prompts", [{"prompt": f"q{i}", "answer": str(i), "topic": "ab"[i % 2], "id": f"x{i}"} for i in range(40)])
    put("qa", [{"question": f"q{i}", "answer": f"a{i}"} for i in range(8)])
    put("sft_null_text", [{"text": None if i == 3 else f"t{i}"} for i in range(8)])
    put("sft_empty_messages", [{"messages": [] if i == 3 else c} for i, c in enumerate(chats)])
    put("order_numbers", [{"text": f"row {i}", "diff": f"grade {[1, 2, 10][i % 3]}"} for i in range(12)])
    put("int_levels", [{"text": f"row {i}", "level": 1 + i % 3} for i in range(9)])
    put("long_prompts", [{"prompt": "ab " * (1 if i % 2 else 140), "answer": "1"} for i in range(8)])
    put("no_system", [{"prompt": [turn("system", "s"), turn("user", f"q{i}")]} for i in range(8)])
    put("images", [{"messages": c, "images": []} for c in chats])
    put("labels", [{"messages": c, "labels": "x"} for c in chats])
    put("many_arms", [{"text": f"t{i}", "id": f"row-{i}"} for i in range(5000)])
    put("bad_line", [{"text": "ok"}])
    with (data / "bad_line/train.jsonl").open("a") as file:
        file.write('{"text": "bad \\ud83d half"}\n')
    put("pool", pool)
    put("pool_utf16", pool, "utf-16")
    put("pool_markup", [r | {"source": ["[/INST] web", "b"][i % 2]} for i, r in enumerate(pool)])
    put("pool_messages", [{"messages": [turn("user", r["prompt"]), turn("assistant", r["completion"])]} for r in pool])
    put("pool_ids", [r | {"id": i} for i, r in enumerate(pool)])
    put("targets", [{"prompt": f"t{i}?", "completion": f"ans {i}"} for i in range(6)])
    for split in ("train", "test"):
        kinds = ["add", "[/x] add"]
        rows = [
            {"prompt": f"What is {i}+{j}?", "completion": str(i + j), "answer": i + j, "kind": kinds[j % 2]}
            for i in range(6)
            for j in ((0, 1) if split == "train" else (8, 9))
        ]
        put("evolve_markup", rows, file=f"{split}.jsonl")
    Dataset.from_list(texts).save_to_disk(data / "disk")
