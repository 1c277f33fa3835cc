"""Scores of held-out rows: losses as an independent forward has them, and answers that are judged."""

import pytest
import tiny
import torch

from trl_curriculum.generators import Candidate
from trl_curriculum.rounds.evaluate import score


ROWS = [
    Candidate("1:abc#", "gh", answer="gh", source="x"),
    Candidate("22:abcd#", "ghij", answer="ghij", source="x"),
    Candidate("3:a#", "g", source="y"),
]


def loss(model: torch.nn.Module, row: Candidate) -> float:
    """Mean over the answer's letters and the end."""
    text = f"{row.question}{row.response}"
    ids = torch.tensor([[tiny.LETTERS.index(letter) + 3 for letter in text] + [1]])
    begin = len(row.question)
    logits = model(input_ids=ids).logits[0, begin - 1 : -1]
    return float(torch.nn.functional.cross_entropy(logits, ids[0, begin:]))


def test_losses_by_task() -> None:
    model = tiny.model().eval()
    told = score(model, tiny.tokenizer(), ROWS)
    one = [loss(model, row) for row in ROWS]
    assert told.keys() == {"loss"}
    assert told["loss"] == pytest.approx({"x": (one[0] + one[1]) / 2, "y": one[2], "all": sum(one) / 3}, rel=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 1000])
def test_answers_are_the_most_probable_and_judged_where_there_is_a_right_one(batch_tokens: int) -> None:
    model, tokens = tiny.model().eval(), tiny.tokenizer()
    judged: dict[str, str] = {}

    def judge(completions: list[str], answer: list[str]) -> list[float | None]:
        judged.update(zip(answer, completions, strict=True))
        return [1.0 if right == "gh" else None for right in answer]

    told = score(model, tokens, ROWS, judge, max_new_tokens=5, batch_tokens=batch_tokens)
    assert told["accuracy"] == {"x": 1.0, "all": 1.0}
    for row in ROWS[:2]:
        ids = tokens(row.question, return_tensors="pt")["input_ids"]
        for _ in range(5):
            ids = torch.cat([ids, model(input_ids=ids).logits[:, -1:].argmax(dim=-1)], dim=1)
        written = ids[0, -5:].tolist()
        assert judged[str(row.answer)] == tokens.decode(written[: written.index(1)] if 1 in written else written)
