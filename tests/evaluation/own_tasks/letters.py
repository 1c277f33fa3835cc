"""Two tasks for a tiny model whose tokens are letters: which letter follows, and what it writes."""

from typing import Any

from datasets import Dataset


def rows(**metadata: Any) -> dict[str, Dataset]:
    asked = [{"question": f"{k}:{'abc'[k % 3]}#", "right": k % 3} for k in range(12)]
    return {"test": Dataset.from_list(asked), "train": Dataset.from_list(asked[:3])}


def written(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    return {"letters": float(len(results[0])), "vowels": float(sum(one in "aeiou" for one in results[0]))}
