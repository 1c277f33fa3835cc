"""Per-sample gradient features on SmolLM2-135M against a plain forward and backward and a loop over single rows."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from trl_curriculum.data.smollm2 import smollm2
from trl_curriculum.data.tasks import reasoning_gym_dataset
from trl_curriculum.disk.partial import by_length
from trl_curriculum.gradients import CountSketch, GradientFeatures
from trl_curriculum.gradients.capture import chosen_linears
from trl_curriculum.lm.batches import Row, collate
from trl_curriculum.lm.losses import tokenize_examples


ROWS, BATCH_TOKENS, ROUNDS, DIMENSION = 12, 1024, 5, 4096  # rows a task
TASKS: dict[str, dict[str, Any]] = {
    "chain_sum": {"min_terms": 2, "max_terms": 4, "min_digits": 2, "max_digits": 2},
    "spell_backward": {"min_word_len": 4, "max_word_len": 7},
    "gcd": {},
    "basic_arithmetic": {},
}


def make_rows(tokenizer: Any) -> list[Row]:
    """Conversations of a question and its answer, on which alone is trained."""
    specs = [{"family": name, "size": ROWS, "seed": 3, "config": config} for name, config in TASKS.items()]
    data = reasoning_gym_dataset(specs, instruction=None)
    return tokenize_examples(
        [{"prompt": row["prompt"], "completion": [{"role": "assistant", "content": row["answer"]}]} for row in data],
        tokenizer,
    )


def make_model() -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(smollm2(), dtype=torch.float32)
    # Both factors random, as in training: with the usual start of zeros half of the gradients would be zero.
    model = get_peft_model(model, LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False))
    return model.eval()


def train(model: Any, batch: tuple[torch.Tensor, ...], whole: bool) -> None:
    """Forward and backward of the rows' mean losses, the adapters get their gradients."""
    ids, mask, labels = batch.values()
    target = labels[:, 1:]
    kept = torch.arange(target.shape[1]) if whole else (target != -100).any(dim=0).nonzero().squeeze(1)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits
    loss = torch.nn.functional.cross_entropy(
        logits.float().transpose(1, 2), target[:, kept], ignore_index=-100, reduction="none"
    )
    (loss.sum(dim=1) / (target != -100).sum(dim=1).clamp(min=1)).sum().backward()


def measure_features() -> dict[str, Any]:
    tokenizer = AutoTokenizer.from_pretrained(smollm2())
    rows, model = make_rows(tokenizer), make_model()
    length = np.array([len(row["input_ids"]) for row in rows])
    order = by_length(length, BATCH_TOKENS)
    batches, single = [collate([rows[k] for k in batch]) for batch in order], [collate([row]) for row in rows]
    sketch = CountSketch(DIMENSION)
    features = GradientFeatures(model, sketch)
    weights = [(name, linear.weight) for name, linear in chosen_linears(model, "lora", 0)]

    def plain(whole: bool) -> None:
        for batch in batches:
            model.zero_grad()
            train(model, batch, whole)

    def ours() -> torch.Tensor:
        found = torch.empty(len(rows), DIMENSION)
        for batch, inputs in zip(order, batches, strict=True):
            found[batch] = features(**inputs)
        return found

    def loop(whole: bool) -> torch.Tensor:
        found = torch.zeros(len(rows), DIMENSION)
        for k, inputs in enumerate(single):
            model.zero_grad()
            train(model, inputs, whole)
            for name, weight in weights:
                sketch.add(found[k : k + 1], weight.grad[None], name)
        return found

    arms: dict[str, Callable[[], Any]] = {
        "features": ours,
        "plain": lambda: plain(True),
        "plain, trained positions": lambda: plain(False),
        "loop": lambda: loop(True),
        "loop, trained positions": lambda: loop(False),
    }
    cosine = torch.nn.functional.cosine_similarity(ours(), loop(True)).min()  # warms up as well
    plain(True)
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    processor: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(ROUNDS):
        for name in np.roll(list(arms), turn):  # no arm always comes after the same
            model.zero_grad()
            wall, cpu = time.perf_counter(), time.process_time()
            arms[name]()
            seconds[name].append(time.perf_counter() - wall)
            processor[name].append(time.process_time() - cpu)
            print(f"{name}: {seconds[name][-1]:.1f} s, {processor[name][-1]:.1f} s of processors", flush=True)
    return {
        "threads": torch.get_num_threads(),
        "rows": len(rows),
        "tokens": [int(length.min()), float(np.median(length)), int(length.max())],
        "batches": [list(batch["input_ids"].shape) for batch in batches],
        "rounds": ROUNDS,
        "seconds": seconds,
        "processor_seconds": processor,
        "smallest_cosine": float(cosine),
    }
