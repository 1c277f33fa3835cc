"""What a curriculum asks of SFT."""

from typing import Any

from ..lm.losses import row_losses
from ..probes import PrefixEntropy, PromptEntropy
from ..signals import SHOWS, FloatArray, IntArray
from .host import TrainerHost


class SFTHost(TrainerHost):
    """SFT as the one who trains."""

    shows = SHOWS["SFT"]

    def progress(self) -> float:
        spent = self.trainer.budget.progress
        return super().progress() if spent is None else spent

    def prompts(self, rows: IntArray) -> list[Any]:
        spec = self.trainer.args.probe_for(self.trainer.curriculum.method)
        is_entropy = isinstance(spec, PrefixEntropy | PromptEntropy)
        as_trained = self.trainer.completion_only_loss and is_entropy and spec.chat_template is None
        return self.trainer.rows.prompts(rows, is_entropy and bool(spec.text_before()), as_trained)

    def template_options(self, rows: IntArray) -> list[dict[str, Any]] | None:
        return self.trainer.rows.template_options(rows)

    def row_loss(self, rows: IntArray) -> tuple[FloatArray, int]:
        trainer = self.trainer
        length = trainer.rows.length[rows]
        loss = row_losses(
            trainer.model,
            trainer.rows.select(rows),
            length=length,
            collator=trainer.data_collator,
            fused=True,
            key=rows,
            **trainer.probe.settings,
        )
        return loss, int(length.sum())
