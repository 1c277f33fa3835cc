"""The demo's rows: twelve arms of reasoning-gym, of which seven are out of a small model's reach."""

import pandas as pd
from datasets import Dataset, concatenate_datasets

from trl_curriculum.data.tasks import disjoint, reasoning_gym_dataset


Arms = dict[str, tuple[str, dict[str, int]]]


def chain(terms: int, digits: int) -> tuple[str, dict[str, int]]:
    return "chain_sum", {"min_terms": terms, "max_terms": terms, "min_digits": digits, "max_digits": digits}


def product(digits: int) -> tuple[str, dict[str, int]]:
    return "products", {"min_terms": 2, "max_terms": 2, "min_digits": digits, "max_digits": digits}


ARMS: Arms = {  # reasoning-gym family and its configuration; the last seven are out of reach
    **{"copy 2": chain(1, 2), "copy 3": chain(1, 3)},
    **{"add 1": chain(2, 1), "add 2": chain(2, 2), "gcd": ("gcd", {"max_value": 20})},
    **{"sum 3x3": chain(3, 3), "sum 4x3": chain(4, 3), "sum 3x4": chain(3, 4), "sum 4x4": chain(4, 4)},
    **{"product 3": product(3), "product 4": product(4), "product 5": product(5)},
}


def problems(seed: int, arms: Arms, held_out_rows: int) -> tuple[Dataset, Dataset]:
    """Rows to train on and held-out ones: from other seeds, and no prompt is in both or in the held-out rows twice."""

    def generate(size: int, seed: int) -> Dataset:
        specs = [
            {"family": family, "size": size, "seed": seed, "config": config, "arm": arm}
            for arm, (family, config) in arms.items()
        ]
        rows = reasoning_gym_dataset(specs, instruction=None)
        # A plain text prompt is half as long as a chat, and so is a step
        texts = [{"prompt": f"{prompt[0]['content']}\nAnswer:\n"} for prompt in rows["prompt"]]
        return concatenate_datasets([rows.remove_columns("prompt"), Dataset.from_list(texts)], axis=1)

    def same_size(rows: Dataset, frame: pd.DataFrame, size: int) -> Dataset:
        return rows.select(frame.groupby("arm").head(size).index)

    rows = generate(4 * held_out_rows, 2 * seed + 1)
    held_out = same_size(rows, rows.to_pandas().drop_duplicates("prompt"), held_out_rows)
    train = disjoint(generate(1000, 2 * seed), held_out)
    return same_size(train, train.to_pandas(), 500), held_out
