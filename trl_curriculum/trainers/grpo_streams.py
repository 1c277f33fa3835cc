"""Streams of prompts."""

from collections.abc import Iterable
from typing import Any

from datasets import Dataset

from ..data.reserved import without_images
from ..data.streams import Streams
from ..signals import IntArray
from ..stream_pool import StreamPool
from .grpo_checks import Rewrite, check_grpo_prompts, rewriters
from .row_checks import check_forms, with_roles_in
from .sizes import grpo_run
from .streamed import StreamedRows


class StreamedPrompts(StreamedRows):
    """[`~.streamed.StreamedRows`] of a GRPO trainer."""

    def __init__(self, streams: Streams) -> None:
        super().__init__(streams)
        self.trainer: Any = None
        self.longest: list[Rewrite] = []  # by which prompts are checked for length

    @classmethod
    def refuse(cls, args: Any) -> None:
        if args.remove_unused_columns:
            raise ValueError(
                "remove_unused_columns=True has no effect on streams: leave it out; take `select_columns` of the "
                "stream."
            )
        super().refuse(args)

    def make_pool(self, args: Any, made: tuple[tuple[Any, ...], tuple[Any, ...]]) -> StreamPool:
        """
        The streams as a curriculum sees them.

        Args:
            args ([`CurriculumGRPOConfig`]):
                Of the run.
            made (`tuple`):
                Methods of rollouts and shapers.
        """
        self.longest = rewriters(*made)
        return self.count(grpo_run(args, 0, args.world_size), made)

    def read_for(self, trainer: Any) -> "StreamedPrompts":
        """The same, for a trainer that is made."""
        self.trainer = trainer
        return self

    def _checked(self, table: Dataset, numbers: IntArray) -> Iterable[dict[str, Any]]:
        table = without_images(with_roles_in(table, ("prompt",)), "the streams")
        texts = ["prompt"] if "prompt" in table.column_names else []
        rows = check_forms(self._named(table, numbers), self.trainer.args, texts)
        return check_grpo_prompts(rows, self.trainer, self.longest).rows.dataset
