"""The sorting ladder: a task on which a curriculum can be measured in seconds on one CPU core.

`dbca#` must become `abcd` + eos. Twelve arms: four that the warmed-up model has solved (1-4 letters), four on a
ladder of rising difficulty (8, 11, 14, 17), and four that cannot be learned (six digits of the letters' crc32).
Three more lengths are never trained on by RL. Because the right answer is unique, pass@1 at temperature 1 is *exactly*
the probability of that answer, read from one teacher-forced forward: the metric has no sampling noise.
"""

import os
import zlib
from pathlib import Path

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from tokenizers.decoders import Fuse
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


PAD, EOS = "<pad>", "<eos>"
LETTERS, HASHED = "abcdefghij", "klmnopqrst"
SOLVED, LADDER, IMPOSSIBLE, HELD_OUT = (1, 2, 3, 4), (8, 11, 14, 17), (5, 6, 7, 8), (16, 18, 19)
ARMS = tuple(f"sort{n}" for n in SOLVED + LADDER) + tuple(f"hash{n}" for n in IMPOSSIBLE)
HARD = tuple(f"sort{n}" for n in (11, 14, 17, *HELD_OUT))
LEVELS = ARMS + tuple(f"sort{n}" for n in HELD_OUT)  # everything that is measured
GATE = {"sort4": (0.9, 1), "sort8": (0.4, 0.7), "sort11": (0.1, 0.3), "sort14": (0.02, 0.08), "sort17": (0, 0.02)}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a character, 43 in all; padded on the left because GRPO generates from the right end."""
    vocabulary = [PAD, EOS, *"abcdefghijklmnopqrstuvwxyz0123456789#+-= "]
    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(vocabulary)}, unk_token=PAD))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = Fuse()  # no spaces between the characters
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token=PAD, eos_token=EOS, padding_side="left")


def make_model(seed: int) -> LlamaForCausalLM:
    """A Llama of 87,744 parameters."""
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=43,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            tie_word_embeddings=False,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        )
    )


def make_row(arm: str, rng: np.random.Generator) -> dict:
    """One problem of an arm: `sort8` or `hash5`. Difficulty is the ladder's order, with the impossible last."""
    kind, n = arm[:4], int(arm[4:])
    letters = "".join(rng.choice(list(LETTERS if kind == "sort" else HASHED), n))
    answer = "".join(sorted(letters)) if kind == "sort" else f"{zlib.crc32(letters.encode()) % 10**6:06d}"
    return {"prompt": letters + "#", "answer": answer, "arm": arm, "difficulty": n if kind == "sort" else 100 + n}


def make_rows(arms, n: int, seed: int | list[int]) -> list[dict]:
    """`n` problems of each arm."""
    rng = np.random.default_rng(seed)
    return [make_row(arm, rng) for arm in arms for _ in range(n)]


def encode(tokenizer, rows: list[dict]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Prompt, answer and eos of each row, padded on the left; labels are -100 except on the answer and eos."""
    tokens = [[tokenizer(text).input_ids for text in (row["prompt"], row["answer"] + EOS)] for row in rows]
    width = max(len(prompt) + len(answer) for prompt, answer in tokens)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for i, (prompt, answer) in enumerate(tokens):
        ids[i, width - len(prompt) - len(answer) :] = torch.tensor(prompt + answer)
        mask[i, width - len(prompt) - len(answer) :] = 1
        labels[i, width - len(answer) :] = torch.tensor(answer)
    return ids, mask, labels


class ExactPass:
    """Exact pass@1 of each level on a fixed set of problems, the same for every method and seed."""

    def __init__(self, tokenizer, levels=LEVELS, n: int = 64, seed: int = 0):
        self.levels, self.n = tuple(levels), n
        self.ids, self.mask, self.labels = encode(tokenizer, make_rows(self.levels, n, seed))

    @torch.no_grad()
    def __call__(self, model, k: int = 1) -> dict[str, float]:
        """
        Exact pass@k, the chance that one of k answers is right. No random number is drawn, so measuring does not
        change the rollouts of the run it measures.
        """
        training = model.training
        model.eval()
        logits = model(input_ids=self.ids, attention_mask=self.mask).logits[:, :-1]
        model.train(training)
        labels = self.labels[:, 1:]
        logps = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        right = (logps * (labels >= 0)).sum(-1).exp()
        passed = (1 - (1 - right) ** k if k > 1 else right).view(len(self.levels), self.n).mean(-1)
        return dict(zip(self.levels, passed.tolist(), strict=True))


def hard(passed: dict[str, float]) -> float:
    """The primary metric: mean pass@1 over the levels that matter, half of them never trained on."""
    return float(np.mean([passed[level] for level in HARD]))


def auc(steps, values) -> float:
    """Mean height of the curve (trapezoids): one number that is less noisy than the final value."""
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))


def gate_failures(passed: dict[str, float]) -> list[str]:
    """What is out of range after the warm-up; where the ladder has no middle, the comparison says nothing."""
    return [
        f"{level} = {passed[level]:.3f}, not within {low}-{high}"
        for level, (low, high) in GATE.items()
        if not low <= passed[level] <= high
    ]


def warm_up(tokenizer, seed: int, steps: int = 700, batch: int = 64) -> LlamaForCausalLM:
    """Plain language modelling of prompts with answers, mostly short ones, until the ladder has its steps."""
    model, rng = make_model(seed), np.random.default_rng(seed)
    weights = 0.7 ** np.arange(14)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / 100))
    for _ in range(steps):
        lengths = rng.choice(14, batch, p=weights / weights.sum()) + 1
        ids, mask, _ = encode(tokenizer, [make_row(f"sort{n}", rng) for n in lengths])
        loss = model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
    return model.eval()


def make_base(folder: Path, seed: int, attempts: int = 3) -> tuple[Path, dict]:
    """The warmed-up model that all runs start from, made once; seeds are tried in turn and all are reported."""
    tokenizer, tried = make_tokenizer(), {}
    measure = ExactPass(tokenizer)
    for warm_seed in range(seed, seed + attempts):
        path = folder / f"base-{warm_seed}"
        made = path.exists()
        model = LlamaForCausalLM.from_pretrained(path) if made else warm_up(tokenizer, warm_seed)
        passed = measure(model)
        tried[warm_seed] = gate_failures(passed)
        if not made:
            model.save_pretrained(draft := folder / f".base-{warm_seed}-{os.getpid()}")
            draft.rename(path)
        if not tried[warm_seed]:
            return path, {"seed": warm_seed, "tried": tried, "pass": passed, "hard": hard(passed)}
        print(f"warm-up seed {warm_seed} fails the gate: {'; '.join(tried[warm_seed])}", flush=True)
    raise SystemExit(f"{attempts} warm-ups failed the gate, so the ladder says nothing here: {tried}")
