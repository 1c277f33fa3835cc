"""The model card of a curriculum trainer: TRL's, with the curriculum, and without paths of this machine."""

from pathlib import Path
from typing import Any

from ..report.card import PATH, complete, public_name, without_local_paths


class CardMixin:
    """What curriculum trainers override to write their model card."""

    args: Any
    conductor: Any

    def create_model_card(self, model_name: str | None = None, dataset_name: Any = None, tags: Any = None) -> None:
        """TRL's model card with the curriculum; what is a path on this machine is left out of it."""
        folder = Path(self.args.output_dir)
        name = folder.resolve().name if model_name is None or PATH.search(model_name) else model_name
        given = dataset_name if isinstance(dataset_name, list) else [dataset_name]
        public = [one for one in given if public_name(one)]
        sets = public if len(public) > 1 else next(iter(public), None)
        super().create_model_card(name, sets, tags)  # type: ignore[misc]
        if self.is_world_process_zero():  # type: ignore[attr-defined]
            self.conductor.history.flush()
            card = folder / "README.md"
            card.write_text(complete(card.read_text(encoding="utf-8"), self), encoding="utf-8")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        card = Path(output_dir or self.args.output_dir) / "README.md"  # PEFT's, which names the path of the base model
        if card.exists() and self.args.should_save:
            card.write_text(without_local_paths(card.read_text(encoding="utf-8")), encoding="utf-8")
