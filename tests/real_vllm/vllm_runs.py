"""What the tests with a real vLLM share. Also a program: one run, as one of several processes."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import tiny
import torch
from harness import Recorder, trainer, weights
from transformers import LlamaConfig, LlamaForCausalLM


GPUS = [str(k) for k in range(torch.cuda.device_count())]
if "CUDA_VISIBLE_DEVICES" in os.environ:
    GPUS = os.environ["CUDA_VISIBLE_DEVICES"].split(",")[: len(GPUS)]


def save_model(folder: Path, tied: bool) -> str:
    """The tiny model with heads of 32, the smallest that vLLM takes on the CPU."""
    torch.manual_seed(0)
    sizes = tiny.SIZES | {"hidden_size": 64}
    LlamaForCausalLM(LlamaConfig(**sizes, tie_word_embeddings=tied)).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return str(folder)


def peaked_model(folder: Path) -> str:
    """The same, sure enough of its next token that rounding does not change which is the most probable."""
    save_model(folder, tied=False)
    model = LlamaForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.lm_head.weight *= 30
    model.save_pretrained(folder)
    return str(folder)


def early_letters(completions: list[str], **kwargs: Any) -> list[float]:
    """How many letters come from the first half of the alphabet: rewards differ in nearly every group."""
    return [float(sum(letter in "abcdefghijklm" for letter in text)) for text in completions]


def has_vllm() -> bool:
    return find_spec("vllm") is not None


def on_cpu() -> bool:
    """Whether this vLLM is the CPU's."""
    from vllm.platforms import current_platform

    return current_platform.is_cpu()


def options(**changes: Any) -> dict[str, Any]:
    """Few steps of a large learning rate: after one of them the old weights give clearly other probabilities."""
    return {
        "use_cpu": on_cpu(),
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_max_model_length": 64,
        "reward_funcs": early_letters,
        "per_device_train_batch_size": 16,
        "max_steps": 5,
        "learning_rate": 1e-2,
        "curriculum": Recorder(tau=0.3),
    } | changes


def logged(run: Any, key: str) -> list[float]:
    """What every step logged."""
    return [entry[key] for entry in run.state.log_history if key in entry]


def differences(run: Any) -> list[float]:
    """
    Every step's mean difference, in nats a token, between the log-probabilities of vLLM, which sampled, and of the
    model, which is trained. vLLM computes in bfloat16: they are never the same.
    """
    return logged(run, "sampling/sampling_logp_difference/mean")


def main() -> None:
    folder, model = Path(sys.argv[1]), sys.argv[2]
    run = trainer(folder, model=model, **options())
    run.train()
    shown = {
        "differences": differences(run),
        "rows": [draw.row.tolist() for draw in run.curriculum.draws],
        "weights": weights(run).double().sum().item(),
    }
    (folder / f"result_{os.environ['RANK']}.json").write_text(json.dumps(shown))


if __name__ == "__main__":
    main()
