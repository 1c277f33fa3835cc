"""The model of a round: where its weights come from, and what earlier rounds have trained on top of them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from accelerate import PartialState
from peft import PeftModel
from transformers import AutoModelForCausalLM

from ..disk.fingerprint import weights_key
from ..lm.loading import MODEL, check_folder, check_tokenizer, check_weights, load_tokenizer, loading
from .stage import IGNORED


@dataclass(frozen=True)
class Model:
    """
    A model by name or path, with an adapter; loaded when it is asked for.

    Args:
        name (`str`):
            Name or path.
        weights (`str`):
            What tells its weights from others, as [`Model.of`] finds it.
        kwargs (`dict`):
            For `from_pretrained`.
        adapter (`Path`, *optional*):
            Folder of an adapter. Default: it has none.
    """

    name: Annotated[str, IGNORED]  # the same weights may be moved
    weights: str
    kwargs: dict[str, Any]
    adapter: Path | None = None

    @classmethod
    def of(cls, name: str, kwargs: dict[str, Any] | None = None) -> "Model":
        """The model as it is under a name or path."""
        return cls(name, weights_key(name), kwargs or {})

    @cached_property
    def tokenizer(self) -> Any:
        """Its tokenizer, which pads with its end token where it has none to pad with."""
        tokenizer = load_tokenizer(self.name, revision=self.kwargs.get("revision"))
        check_tokenizer(tokenizer, f"{MODEL}={self.name!r}")
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        return tokenizer

    def load(self) -> Any:
        """The model on this process's device, its adapter merged."""
        model = self._load()
        if self.adapter is not None:
            with loading({"adapter": self.adapter}):
                model = PeftModel.from_pretrained(model, str(self.adapter))
            model = model.merge_and_unload()
        return model.to(PartialState().device)

    def load_to_train(self) -> Any:
        """The same with its adapter to be trained further, or without one."""
        model = self._load()
        if self.adapter is not None:
            with loading({"adapter": self.adapter}):
                model = PeftModel.from_pretrained(model, str(self.adapter), is_trainable=True)
        return model.to(PartialState().device)

    def _load(self) -> Any:
        check_folder(self.name)
        with loading():
            model = AutoModelForCausalLM.from_pretrained(self.name, **self.kwargs)
        check_weights(model, f"{MODEL}={self.name!r}")
        return model
