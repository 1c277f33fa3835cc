"""A run's folder, and a Hub of this machine to which the command sends it."""

import json
from collections.abc import Iterator
from pathlib import Path

import hub_server
import numpy as np
import pandas as pd
import pytest
from hub_server import Hub
from safetensors.numpy import save_file


SECRET = "hf_" + "s" * 34


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with hub_server.serving(tmp_path / "hub") as server:
        hub_server.use(server, monkeypatch)
        yield server


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Everything that may lie in a run's folder, public or not; the weights are larger than a regular file may be."""
    folder = tmp_path / "my-run"
    (folder / "curriculum_history").mkdir(parents=True)
    (folder / "checkpoint-2").mkdir()
    (folder / "completions").mkdir()
    (folder / "runs").mkdir()
    (folder / "_curriculum_report").mkdir()
    weights = {"w": np.arange(10_000, dtype=np.float32)}
    save_file(weights, folder / "model.safetensors")
    save_file(weights, folder / "checkpoint-2" / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "generation_config.json").write_text("{}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "README.md").write_text("---\nlibrary_name: transformers\nmodel_name: my-run\n---\n\n# My run\n")
    (folder / "curriculum_draws.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    draws = pd.DataFrame({"step": [0], "draw": [0], "row": [3], "arm": ["a"], "probability": [0.5], "length": [9.0]})
    draws.to_parquet(folder / "curriculum_history" / "draws-000000000000.parquet")
    private = {
        "curriculum_history/rows.parquet": "the texts of rows",
        "_curriculum_report/texts-000000000000.parquet": "the texts of rows",
        "training_args.bin": SECRET,
        "checkpoint-2/optimizer.pt": "moments",
        "completions/completions_00001.parquet": "the texts of completions",
        "runs/events.out": str(folder),
        "train.log": str(folder),
        ".env": f"HF_TOKEN={SECRET}",
        "token": SECRET,
        "trainer_state.json": json.dumps({"best_model_checkpoint": str(folder)}),
        ".README~machine~1.md": "half",
        "rows.jsonl": '{"prompt": "a secret"}',
    }
    for name, text in private.items():
        (folder / name).write_text(text)
    return folder
