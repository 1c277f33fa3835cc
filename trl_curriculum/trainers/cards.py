"""The model card of a curriculum trainer: TRL's, with the curriculum, and without paths of this machine."""

from pathlib import Path
from typing import Any

from ..report.card import PATH, complete, public_name, without_local_paths


class CardMixin:
    """What curriculum trainers override to write their model card."""

    args: Any
    conductor: Any

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """TRL's model card (`model_name`, `dataset_name`, `tags`) with the curriculum, and without local paths."""
        given = dict(zip(("model_name", "dataset_name", "tags"), args, strict=False)) | kwargs
        folder, name, data = Path(self.args.output_dir), given.get("model_name"), given.get("dataset_name")
        public = [one for one in (data if isinstance(data, list) else [data]) if public_name(one)]
        given["model_name"] = folder.resolve().name if name is None or PATH.search(name) else name
        given["dataset_name"] = public if len(public) > 1 else next(iter(public), None)
        super().create_model_card(**given)  # type: ignore[misc]
        if self.is_world_process_zero():  # type: ignore[attr-defined]
            self.conductor.history.flush()
            card = folder / "README.md"
            card.write_text(complete(card.read_text(encoding="utf-8"), self), encoding="utf-8")

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        super()._save(output_dir, state_dict)  # type: ignore[misc]
        card = Path(output_dir or self.args.output_dir) / "README.md"  # PEFT's, which names the path of the base model
        if card.exists() and self.args.should_save:
            card.write_text(without_local_paths(card.read_text(encoding="utf-8")), encoding="utf-8")
