"""
The prompts of `prefix_entropy.py`, and the entropies of every token that SmolLM2-135M answers them with.

Kept per answer are the exact entropies of its tokens and the three that the 20 most probable tokens give: all that
any prefix length, aggregation or truncation needs. Finished batches are kept, so an interrupted run goes on.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import DynamicCache

from trl_curriculum.data.tasks import reasoning_gym_dataset
from trl_curriculum.disk.atomic import atomic_write
from trl_curriculum.lm.entropy import exact_entropy, truncated_entropy
from trl_curriculum.probes.prefix_entropy import QUICK_ANSWER


TASKS = (
    "gsm_symbolic",
    "chain_sum",
    "countdown",
    "spell_backward",
    "letter_counting",
    "number_sorting",
    "leg_counting",
    "instructions",
)
LEARNED = {  # families of reasoning-gym that the run with GRPO learns: one nearly solved at first, two out of reach
    "copy": ("chain_sum", {"min_terms": 1, "max_terms": 1, "min_digits": 2, "max_digits": 3}),
    "add": ("chain_sum", {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}),
    "letters": ("letter_counting", {"min_words": 1, "max_words": 2}),
    "gcd": ("gcd", {"max_value": 20}),
    "long sum": ("chain_sum", {"min_terms": 4, "max_terms": 4, "min_digits": 3, "max_digits": 3}),
    "product": ("products", {"min_terms": 2, "max_terms": 2, "min_digits": 3, "max_digits": 3}),
}
KINDS = ("exact", "renormalize", "lower", "upper")
RUNS = ("a", "b", "greedy")
WHOLE, BATCH = 256, 40
TEMPERATURE, TOP_P = 0.7, 0.7

INSTRUCTIONS = """
Explain why the sky is blue to a child.
Write a short poem about winter.
Give three tips for a job interview.
What is the capital of Australia?
Summarise the story of Romeo and Juliet.
Describe how to make a cup of tea.
Name five animals that live in the sea.
Write an e-mail that asks a colleague for a meeting.
What does photosynthesis do for a plant?
Translate "Good morning, my friend" into French.
List the planets of the solar system.
Write a Python function that reverses a list.
Who wrote the play Hamlet?
Invent a name for a bakery and explain it.
What is the difference between weather and climate?
Tell a joke about a cat.
How do I remove a coffee stain from a shirt?
Write the first two sentences of a detective novel.
Is a tomato a fruit or a vegetable? Give your reason.
Plan a day in Paris for a family with two children.
What are the advantages of learning a second language?
Describe the taste of an orange without naming it.
Correct this sentence: "She don't like apples."
Give me a recipe for a simple vegetable soup.
What year did the first person walk on the Moon?
Compare cats and dogs as pets.
Write a slogan for a shop that repairs bicycles.
Explain what inflation is in two sentences.
Suggest a birthday present for a friend who loves gardening.
What is the opposite of "generous"?
Write a short dialogue between a teacher and a late pupil.
How many days does a leap year have?
Describe an old house at the end of a street.
What should I do if my computer does not start?
Write a thank-you note to a neighbour.
Name the colours of the rainbow in order.
Why do we have seasons?
Write a haiku about the sea.
Give an example of a metaphor and explain it.
What are the main parts of a letter?
Explain how a bill becomes a law.
List four ways to save water at home.
Write a sentence that uses the word "although".
How does a refrigerator keep food cold?
Which is heavier, a kilogram of iron or a kilogram of feathers?
""".strip().splitlines()
REPORTED_INSTRUCTIONS = 30  # the first; the others are for exploring
FORMS = (
    "Explain {} in simple words.",
    "Write a short story about {}.",
    "Give three facts about {}.",
    "What is the best thing about {}?",
    "Write a poem of four lines about {}.",
    "List five words that have to do with {}.",
    "Describe {} to somebody who has never seen it.",
    "Write a funny slogan for {}.",
    "Name one danger of {}.",
    "Is {} a good topic for a school essay? Answer yes or no.",
    'Translate "{}" into Spanish.',
    "Write a letter to a friend about {}.",
    "Ask three questions about {}.",
    "Which year comes to your mind when you think of {}?",
    "Summarise what you know of {} in one sentence.",
    "Write a dialogue of two people about {}.",
)
TOPICS = "the ocean, chess, bread, volcanoes, the piano, honesty, trains, the moon, coffee, winter".split(", ")
EXPLORED_TOPICS = "a garden, football, the desert".split(", ")


def questions(task: str, size: int, seed: int) -> list[str]:
    """Prompts of one task; explored ones (odd seeds) and reported ones (even seeds) share nothing."""
    if task == "instructions":
        own = INSTRUCTIONS[REPORTED_INSTRUCTIONS:] if seed % 2 else INSTRUCTIONS[:REPORTED_INSTRUCTIONS]
        return own[:size]
    if task == "open questions":
        topics = EXPLORED_TOPICS if seed % 2 else TOPICS
        return [form.format(topic) for topic in topics for form in FORMS][:size]
    rows = reasoning_gym_dataset([{"family": task, "size": size, "seed": seed}], instruction=None)
    return [prompt[0]["content"] for prompt in rows["prompt"]]


def tokenize(texts: list[str], tokenizer: Any, quick: bool) -> list[list[int]]:
    before = QUICK_ANSWER["en"] if quick else ""
    chats = [[{"role": "user", "content": before + text}] for text in texts]
    return [tokenizer.apply_chat_template(c, add_generation_prompt=True, return_dict=False) for c in chats]


def answers(model: Any, tokenizer: Any, prompts: list[list[int]], seed: int, folder: Path) -> list[list[np.ndarray]]:
    """
    Entropies in nats of whole answers, each `(tokens, 4)` in the order of `KINDS`: of every prompt's sampled answer A,
    of an independent one B, and of the greedy one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    order = np.argsort([-len(prompt) for prompt in prompts], kind="stable")
    batches = [order[k : k + BATCH] for k in range(0, len(order), BATCH)]
    found: list[list[Any]] = [[None] * len(prompts) for _ in RUNS]
    for k, batch in enumerate(tqdm(batches, desc=folder.name)):
        file = folder / f"{k}.npz"
        if not file.exists():
            generator = torch.Generator().manual_seed(1000 * seed + k)
            made = generate(model, tokenizer, [prompts[row] for row in batch], generator)
            with atomic_write(file) as draft:
                np.savez(draft, flat=np.concatenate(made), length=[len(one) for one in made])
        with np.load(file) as stored:
            parts = np.split(stored["flat"], np.cumsum(stored["length"])[:-1])
        if len(parts) != len(RUNS) * len(batch):
            raise ValueError(f"{file} is of other prompts: remove its folder.")
        for j, part in enumerate(parts):
            found[j % len(RUNS)][batch[j // len(RUNS)]] = part
    return found


@torch.no_grad()
def generate(model: Any, tokenizer: Any, prompts: list[list[int]], generator: torch.Generator) -> list[np.ndarray]:
    """Three answers of every prompt, one after the other: two sampled, one greedy. What ends leaves the batch."""
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), tokenizer.eos_token_id)
    mask = torch.zeros_like(ids)
    for k, prompt in enumerate(prompts):
        ids[k, longest - len(prompt) :] = torch.tensor(prompt)
        mask[k, longest - len(prompt) :] = 1
    position = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    alive = np.arange(len(prompts) * len(RUNS))
    steps: list[list[np.ndarray]] = [[] for _ in alive]
    for step in range(WHOLE):
        logits = model(
            ids, attention_mask=mask, position_ids=position, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        if step == 0:
            cache.batch_repeat_interleave(len(RUNS))
            logits, mask, position = (x.repeat_interleave(len(RUNS), dim=0) for x in (logits, mask, position))
        logits = logits.float()
        for row, values in zip(alive, entropies(logits), strict=True):
            steps[row].append(values)
        greedy = torch.from_numpy(alive % len(RUNS) == len(RUNS) - 1)
        token = torch.where(greedy, logits.argmax(-1), sample(logits, generator))
        stay = token != tokenizer.eos_token_id
        if not stay.any():
            break
        if not stay.all():
            keep = stay.nonzero()[:, 0]
            cache.batch_select_indices(keep)
            alive, token, mask, position = alive[keep.numpy()], token[keep], mask[keep], position[keep]
        ids = token[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        position = position[:, -1:] + 1
    return [np.array(rows, np.float32) for rows in steps]


def entropies(logits: torch.Tensor) -> np.ndarray:
    """Of each distribution, before sampling bends it: exact, and from its 20 most probable tokens."""
    top = logits.topk(20).values - logits.logsumexp(-1, keepdim=True)
    log_p = top.double().numpy()
    exact = exact_entropy(logits).double().numpy()
    return np.stack([exact, *(truncated_entropy(log_p, logits.shape[-1], kind) for kind in KINDS[1:])], axis=1)


def sample(logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Top-p sampling at a temperature, as transformers does it."""
    p, token = (logits / TEMPERATURE).softmax(-1).topk(512)  # top_p .7 of this model lies within
    p[p.cumsum(-1) - p >= TOP_P] = 0
    return token.gather(1, torch.multinomial(p, 1, generator=generator))[:, 0]
