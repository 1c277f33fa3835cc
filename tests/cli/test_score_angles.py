"""`trl-curriculum score` with angle concentrations: the numbers, the place of the question, and the way into a run."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from datasets import Dataset

from trl_curriculum.cli import main
from trl_curriculum.lm.angles import angle_concentrations
from trl_curriculum.probes.angle_concentration import check_fast, spans
from trl_curriculum.scripts.difficulty import _scored


MESSAGES = [{"role": "system", "content": "ab"}, {"role": "user", "content": " cde"}]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    lines = [{"question": "ab"[i % 2] * (1 + i) + "?", "level": i, "answer": "1"} for i in range(8)] + [
        {"question": "c" * 130, "level": 8, "answer": "1"}
    ]
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder


def argv(model: str, rows: Path, out: Path, **options: Any) -> list[str]:
    given = ["--model_name_or_path", model, "--dataset_name", str(rows), "--prompt_column", "question", "--use_cpu"]
    return [
        "score",
        *given,
        "--instruction",
        "",
        "--out",
        str(out),
        "--probe",
        json.dumps({"angle_concentration": options}),
    ]


class Still(torch.nn.Module):
    """A model whose states are given: two layers, of which the first has other states."""

    def __init__(self, states: torch.Tensor) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Module(), torch.nn.Module()])
        for layer in self.layers:
            layer.mlp = torch.nn.Module()
            layer.mlp.up_proj = torch.nn.Linear(2, 1)
        self.states = states

    @property
    def base_model(self) -> Any:
        def forward(input_ids: torch.Tensor, **kwargs: Any) -> None:
            for k, layer in enumerate(self.layers):
                layer.mlp.up_proj(self.states[None, : input_ids.shape[1]] * (1 if k else -torch.arange(1.0, 3.0)))

        return forward


@pytest.mark.parametrize("weight", [0.0, 1.0, 8.0])
def test_by_hand(weight: float) -> None:
    """States at 0°, 0°, 60° and 120° of any length, of which the last two are the question."""
    angle = torch.tensor([0.0, 0.0, 60.0, 120.0]) * math.pi / 180
    states = torch.stack([angle.cos(), angle.sin()], 1) * torch.tensor([[1.0], [2.0], [3.0], [0.5]])
    found = angle_concentrations(Still(states), [[1, 2, 3, 4]], np.array([2]), np.array([4]), weight)
    intra = (1 + 1 + 0.5 + 0.5) / 4  # of all pairs, cos 60° twice
    inter = (0.5 + 0.5 - 0.5 - 0.5) / 4
    assert found == pytest.approx([intra + weight * inter])
    alone = angle_concentrations(Still(states), [[1, 2, 3, 4]], np.array([0]), np.array([3]), weight)
    assert alone == pytest.approx([(3 + 2 * 1 + 4 * 0.5) / 9])  # nothing stands before it


def test_where_the_question_is() -> None:
    tokenizer = tiny.tokenizer()
    (span,) = spans([MESSAGES], tokenizer, [{}])
    text = "<system:ab><user: cde><assistant:"
    assert span.ids == [tiny.LETTERS.index(letter) + 3 if letter in tiny.LETTERS else 2 for letter in text]
    assert text[span.begin : span.end] == " cde"
    tokenizer.chat_template = tiny.TEMPLATE.replace("m['content']", "m['content'] | trim")
    (span,) = spans([MESSAGES], tokenizer, [{}])
    assert text.replace(" ", "")[span.begin : span.end] == "cde"
    (span,) = spans(["abc"], tokenizer, [{}])
    assert (span.begin, span.end) == (0, 3)
    tokenizer.chat_template = "{{ messages[-1]['content'] | length }}"
    with pytest.raises(ValueError, match="the question cannot be found"):
        spans([MESSAGES], tokenizer, [{}])
    with pytest.raises(ValueError, match="object does not tell: take a model with a fast tokenizer"):
        check_fast(object())


def test_a_model_without_the_layer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'mlp\.up_proj', and Linear has no layer of that name"):
        angle_concentrations(torch.nn.Linear(1, 1), [[1]], np.array([0]), np.array([1]), 8.0)


def test_a_file_of_scores_becomes_the_difficulty_of_a_run(
    tiny_path: str, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "angles.parquet"
    assert main([*argv(tiny_path, rows, out, batch_tokens=40), "--arms", "level"]) == 0
    frame = pd.read_parquet(out)
    assert frame.columns.tolist() == ["row", "score", "tokens", "difficulty", "arm"]
    assert frame["tokens"].tolist() == [*range(2, 10), 0] and np.isnan(frame["score"][8])  # too long for the model
    text = capsys.readouterr().out
    assert "9 rows, one forward over each prompt" in text and "Angle concentrations" in text and "1 too long" in text

    model, states = tiny.model(), []
    model.model.layers[-1].mlp.up_proj.register_forward_pre_hook(lambda module, given: states.append(given[0][0]))
    for k in range(8):
        (span,) = spans([[{"role": "user", "content": "ab"[k % 2] * (1 + k) + "?"}]], tiny.tokenizer(), [{}])
        with torch.no_grad():
            model(torch.tensor([span.ids]))
        unit = torch.nn.functional.normalize(states[-1], dim=1)
        cosine = unit @ unit.T
        question = slice(span.begin, span.end)
        expected = cosine[question, question].mean() + 8 * cosine[question, : span.begin].mean()
        assert frame["score"][k] == pytest.approx(expected.item(), rel=1e-4)

    difficulty = _scored(str(out), 9)
    assert difficulty[:8] == pytest.approx(-frame["score"][:8]) and difficulty[8] == np.median(difficulty[:8])
    given = ["--model_name_or_path", tiny_path, "--dataset_name", str(rows), "--prompt_column", "question"]
    given += ["--reward_funcs", "exact_match", "--curriculum", '{"gain_rl": {"width": 3, "subset": 4}}', "--use_cpu"]
    given += ["--per_device_train_batch_size", "4", "--num_generations", "2", "--max_steps", "9", "--bf16", "false"]
    given += ["--max_completion_length", "8", "--unusable_rows", "leave_out", "--dry_run"]
    assert main(["grpo", *given, "--difficulty_from", str(out)]) == 0
    assert "gain_rl (" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"row": [0, 3], "score": [1.0, 2.0]}, "scores of 2 rows up to row 3, and the dataset has 3"),
        ({"row": [0, 0], "score": [1.0, 2.0]}, "scores of 2 rows"),
        ({"row": [0], "score": [np.nan]}, "has no score that is a number"),
        ({"row": [0]}, "has no column 'score'"),
    ],
)
def test_a_file_of_other_rows_is_refused(columns: dict[str, Any], words: str, tmp_path: Path) -> None:
    file = tmp_path / "s.parquet"
    Dataset.from_dict(columns).to_parquet(file)
    with pytest.raises(ValueError, match=words):
        _scored(str(file), 3)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (broken := tmp_path / "broken.parquet").write_text("no parquet")
    for file in (tmp_path / "missing.parquet", broken):
        with pytest.raises(ValueError, match=f"difficulty_from='{file}' is no file that can be read as parquet"):
            _scored(str(file), 3)
