"""What a curriculum asks of GRPO."""

from typing import Any

import numpy as np

from ..lm.losses import head_at_temperature_1, row_losses
from ..signals import SHOWS, FloatArray, IntArray
from .host import TrainerHost


class GRPOHost(TrainerHost):
    """GRPO as the one who trains."""

    shows = SHOWS["GRPO"]

    def prompts(self, rows: IntArray) -> list[Any]:
        read = self.trainer.train_dataset.__getitems__(np.asarray(rows).tolist())
        return [row["prompt"] for row in self.trainer.rewritten(read, rows)]

    def row_loss(self, rows: IntArray) -> tuple[FloatArray, int]:
        trainer = self.trainer
        column: Any = trainer.args.answer_column
        texts = trainer.train_dataset.select_columns([column]).__getitems__(rows.tolist())
        answers = [trainer._tokenizer(str(row[column]), add_special_tokens=False)["input_ids"] for row in texts]
        prompts, _, _ = trainer._tokenize_prompts(self.prompts(rows))
        examples = [
            {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        with head_at_temperature_1(trainer):
            loss = row_losses(trainer.model, examples, fused=True, **trainer.probe.settings)
        return loss, sum(map(len, prompts)) + sum(map(len, answers))
