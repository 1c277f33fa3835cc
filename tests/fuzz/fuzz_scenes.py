"""The unmutated inputs: small commands of every kind that end well."""

from typing import Any

from fuzz_kit import Scene


N = 12
TINY = {"model_name_or_path": "models/tiny", "use_cpu": True}
COMMON = TINY | {
    "bf16": False,
    "gradient_checkpointing": False,
    "logging_steps": 1,
    "save_strategy": "no",
    "num_processes": 1,
    "report_to": "none",
    "disable_tqdm": True,
    "output_dir": "out",
}
SFT = COMMON | {"per_device_train_batch_size": 2, "max_steps": 3, "max_length": 64}
GRPO = COMMON | {
    "per_device_train_batch_size": 4,
    "num_generations": 2,
    "max_completion_length": 4,
    "max_steps": 3,
    "reward_funcs": ["exact_match", "fuzz_scenes.letters"],
}
PROBE = {"prefix_entropy": {"length": 2, "quick_answer": None}}


def letters(completions: list[Any], **columns: Any) -> list[float]:
    """A reward that differs between the rollouts of a random model."""
    texts = [one if isinstance(one, str) else one[-1]["content"] for one in completions]
    return [float(sum(map(ord, text)) % 2) for text in texts]


def turn(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def rows(n: int = N, **columns: Any) -> list[dict[str, Any]]:
    """Rows of columns that are made of the row's number, with an arm and a difficulty."""
    more = {"topic": lambda i: "ab"[i % 2], "level": lambda i: i % 4}
    return [{name: make(i) for name, make in (columns | more).items()} for i in range(n)]


QUESTIONS = {"prompt": lambda i: f"what is {i}?", "answer": lambda i: str(i)}
PAIRS = {"prompt": lambda i: f"what is {i}?", "completion": lambda i: f"it is {i}"}
CHATS = {"messages": lambda i: [turn("user", f"what is {i}?"), turn("assistant", f"it is {i}")]}
BOTH = {
    "prompt": lambda i: [turn("user", f"what is {i}?")],
    "completion": lambda i: [turn("assistant", f"it is {i}")],
}
SHAREGPT = {
    "conversations": lambda i: [{"from": "human", "value": f"what is {i}?"}, {"from": "gpt", "value": f"it is {i}"}]
}
ALPACA = {"instruction": lambda i: f"say {i}", "input": lambda i: f"text {i}", "output": lambda i: f"it is {i}"}
GSM8K = {"question": lambda i: f"what is {i}?", "answer": lambda i: f"It is {i}.\n#### {i}"}
CHOICES = {
    "question": lambda i: f"what is {i}?",
    "choices": lambda i: [str(i), str(i + 1), str(i + 2)],
    "right": lambda i: i % 3,
}


def _scene(name: str, command: str, config: dict[str, Any], table: list[dict[str, Any]], **more: Any) -> Scene:
    file = "data/train.jsonl"
    if command in ("sft", "grpo", "score", "evolve"):
        config = config | {"dataset_name": "data"}
    return Scene(name, command, config | more.pop("set", {}), {file: table} | more.pop("files", {}))


SCENES: dict[str, Scene] = {}
for name, command, config, table, more in (
    ("sft-text", "sft", SFT, rows(text=lambda i: f"row {i} of texts"), {}),
    ("sft-messages", "sft", SFT, rows(**CHATS), {}),
    ("sft-pairs", "sft", SFT, rows(**PAIRS), {}),
    ("sft-both", "sft", SFT, rows(**BOTH), {}),
    ("sft-sharegpt", "sft", SFT, rows(**SHAREGPT), {}),
    (
        "sft-alpaca",
        "sft",
        SFT,
        rows(**ALPACA),
        {"set": {"prompt_column": "instruction", "context_column": "input", "completion_column": "output"}},
    ),
    (
        "sft-columns",
        "sft",
        SFT,
        rows(question=QUESTIONS["prompt"], answer=QUESTIONS["answer"]),
        {"set": {"prompt_column": "question", "completion_column": "answer"}},
    ),
    (
        "sft-arms",
        "sft",
        SFT,
        rows(**PAIRS),
        {"set": {"arms": "topic", "curriculum": {"mixture": {"weights": {"a": 0.8, "b": 0.2}}}}},
    ),
    ("sft-order", "sft", SFT, rows(**PAIRS), {"set": {"difficulty_column": "level", "curriculum": "order"}}),
    (
        "sft-length",
        "sft",
        SFT,
        rows(**CHATS),
        {"set": {"difficulty_from": "answer_length", "curriculum": "competence"}},
    ),
    ("sft-edco", "sft", SFT, rows(**BOTH), {"set": {"curriculum": {"edco": {"rounds": 2}}, "probe": PROBE}}),
    ("grpo-plain", "grpo", GRPO, rows(**QUESTIONS), {}),
    ("grpo-messages", "grpo", GRPO, rows(prompt=BOTH["prompt"], answer=QUESTIONS["answer"]), {}),
    ("grpo-gsm8k", "grpo", GRPO, rows(**GSM8K), {"set": {"prompt_column": "question"}}),
    ("grpo-arms", "grpo", GRPO, rows(**QUESTIONS), {"set": {"arms": "topic", "curriculum": "sec"}}),
    (
        "grpo-loss",
        "grpo",
        GRPO,
        rows(**QUESTIONS),
        {"set": {"answer_column": "answer", "curriculum": {"loss_top_k": {"measure": "probe"}}}},
    ),
    (
        "grpo-choices",
        "grpo",
        GRPO,
        rows(**CHOICES),
        {
            "set": {
                "prompt_column": "question",
                "options_column": "choices",
                "right_option_column": "right",
                "reward_funcs": ["multiple_choice_accuracy"],
            }
        },
    ),
    ("score-prompts", "score", TINY | {"probe": PROBE, "out": "out.parquet"}, rows(prompt=QUESTIONS["prompt"]), {}),
    ("score-messages", "score", TINY | {"probe": PROBE, "out": "out.parquet"}, rows(**CHATS), {}),
    (
        "select",
        "select",
        {name: value for name, value in COMMON.items() if name not in ("save_strategy", "logging_steps")}
        | {
            "max_length": 64,
            "candidates": "data/train.jsonl",
            "targets": "targets.jsonl",
            "proxy": {"steps": 1},
            "features": {"dimension": 16},
            "selection": "random",
        },
        [row | {"source": row.pop("topic")} for row in rows(32, **PAIRS)],
        {"files": {"targets.jsonl": rows(4, prompt=lambda i: f"how is {i}?", completion=PAIRS["completion"])}},
    ),
    (
        "evolve",
        "evolve",
        SFT
        | {
            "max_steps": 1,
            "use_peft": True,
            "rounds": 1,
            "candidates": 8,
            "keep": 4,
            "near_duplicates": 1.0,
            "accuracy": "none",
            "selection": "random",
            "proxy": {"steps": 1},
            "features": {"dimension": 16},
            "generators": [{"file": {"path": "pool.jsonl"}}],
        },
        rows(6, **PAIRS),
        {"files": {"pool.jsonl": rows(16, prompt=lambda i: f"how is {i}?", completion=PAIRS["completion"])}},
    ),
):
    SCENES[name] = _scene(name, command, config, table, **more)
