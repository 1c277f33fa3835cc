import json
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny


@pytest.fixture
def sft_script(tmp_path: Path, tiny_path: str) -> Callable[..., list[str]]:
    """Arguments of the SFT script for a run of the tiny model in `tmp_path / "out"`, and more of them."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tiny.sft_dataset().to_list()))
    argv = f"""
        --model_name_or_path {tiny_path} --dataset_name {data} --output_dir {tmp_path}/out --use_cpu --bf16 false
        --gradient_checkpointing false --per_device_train_batch_size 4 --max_steps 3 --report_to none
        --disable_tqdm true --save_strategy no --dtype float32
    """
    return lambda *more: [*argv.split(), *more]
