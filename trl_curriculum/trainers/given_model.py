"""The model and the tokenizer that a trainer is given: what cannot be loaded, or trained, is refused by its name."""

from typing import Any

from transformers import TrainingArguments
from trl.trainer.utils import get_config_model_id

from ..lm.loading import MODEL, check_folder, check_tokenizer, check_weights, load_tokenizer, loading


class GivenModel:
    """
    Checks the model of a trainer: its tokenizer before the weights are loaded, and these as soon as they are.

    Stands before one of TRL's trainers, whose `__init__` loads what is given by name.
    """

    def __init__(self, model: Any, *positional: Any, **kwargs: Any) -> None:
        args: Any = next(one for one in positional if isinstance(one, TrainingArguments))
        tokenizer = kwargs.get("processing_class", positional[4] if len(positional) > 4 else None)
        named = isinstance(model, str)
        if named:
            check_folder(model)
        if tokenizer is None:
            name = model if named else get_config_model_id(model.config)
            revision = (args.model_init_kwargs or {}).get("revision") if named else None
            code: dict[str, Any] = {"trust_remote_code": bool(getattr(args, "trust_remote_code", False))}
            tokenizer, where = load_tokenizer(name, revision=revision, **code), f"{MODEL}={name!r}"
        else:
            where = "processing_class"
        pads, ends = (getattr(args, name, None) is not None for name in ("pad_token", "eos_token"))
        check_tokenizer(tokenizer, where, pads, ends)
        roles = {MODEL: model if named else "", "chat_template_path": getattr(args, "chat_template_path", None)}
        rewards = positional[0] if isinstance(positional[0], list) else positional[:1]
        roles["reward_model_name_or_path"] = next((one for one in rewards if isinstance(one, str)), None)
        with loading(roles):
            super().__init__(model, *positional, **kwargs)  # type: ignore[call-arg]
        if named:
            check_weights(self.model, where)  # type: ignore[attr-defined]
