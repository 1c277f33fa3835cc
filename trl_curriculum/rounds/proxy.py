"""The model whose gradients candidates are compared by: a fresh adapter, warmed up on a few rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from ..generators import Candidate, to_dataset
from ..lm.losses import tokenize_examples
from .selection import SelectionSettings, gradient_features


MACHINE = (  # what a warm-up takes from the arguments of training: all else is its own
    "seed",
    "data_seed",
    "use_cpu",
    "bf16",
    "fp16",
    "tf32",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "full_determinism",
    "disable_tqdm",
)
Moments = dict[str, tuple[Any, Any]]
LoadModel = Callable[[], tuple[Any, Any]]  # a model and its tokenizer


@dataclass(frozen=True)
class Proxy:
    """
    Which model, and how it is warmed up.

    Args:
        model (`str`, *optional*):
            Name or path. Default: the student of the round, its adapter merged.
        steps (`int`, *optional*, defaults to `8`), batch_size (`int`, *optional*, defaults to `8`):
            Of the warm-up, the latter over all processes (ours).
        learning_rate (`float`, *optional*, defaults to `1e-3`):
            Of the warm-up (ours).
        rank (`int`, *optional*, defaults to `8`):
            Of the adapter, on all linear layers.
        adam (`bool`, *optional*, defaults to `False`):
            Whether a candidate's feature is the direction of its Adam step (LESS) instead of that of its SGD step.
    """

    model: str | None = None
    steps: int = 8
    batch_size: int = 8
    learning_rate: float = 1e-3
    rank: int = 8
    adam: bool = False

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rank < 1 or self.batch_size < 1:
            raise ValueError(
                f"steps={self.steps}, batch_size={self.batch_size} and rank={self.rank} of the proxy must be at least "
                "1: the gradient of an adapter that was never trained is half zeros."
            )

    def check(self, selection: SelectionSettings) -> None:
        """Refuses what goes with no proxy of this kind."""
        if self.adam and selection.layers != "lora":
            raise ValueError(
                f"adam needs the moments of the warm-up, which trains the adapter: take layers='lora', not "
                f"{selection.layers!r}."
            )


def load_proxy(model: str, kwargs: dict[str, Any], device: Any) -> tuple[Any, Any]:
    """A model by name or path, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    loaded: Any = AutoModelForCausalLM.from_pretrained(model, **kwargs)
    return loaded.to(device), tokenizer


def warm_up(proxy: Proxy, load: LoadModel, rows: Sequence[Candidate], args: Any, folder: Path) -> dict[str, Any]:
    """
    Trains a fresh adapter on rows and saves it in a folder, with Adam's moments where they are wanted.

    Args:
        proxy ([`Proxy`]):
            How.
        load (`Callable`):
            Returns the proxy without an adapter, and its tokenizer.
        rows (`Sequence[Candidate]`):
            To train on.
        args ([`~trl.SFTConfig`] or another of TRL's configs):
            Precision, seed and the like are taken from it, not how it trains.
        folder (`Path`):
            Where to save.
    """
    model, tokenizer = load()
    options = {name: getattr(args, name) for name in MACHINE}
    trainer = SFTTrainer(
        model,
        SFTConfig(
            str(folder),
            max_steps=proxy.steps,
            per_device_train_batch_size=max(1, min(proxy.batch_size, len(rows)) // PartialState().num_processes),
            learning_rate=proxy.learning_rate,
            max_length=getattr(args, "max_length", None),
            save_strategy="no",
            report_to="none",
            **options,
        ),
        train_dataset=to_dataset(rows),
        processing_class=tokenizer,
        peft_config=LoraConfig(r=proxy.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    trainer.train()
    trainer.save_model(str(folder))
    if proxy.adam and trainer.accelerator.is_main_process:
        named = {p: name for name, p in trainer.accelerator.unwrap_model(trainer.model).named_parameters()}
        state: Any = trainer.optimizer.state  # type: ignore[union-attr]
        tensors = {
            f"{named[p]}/{kind}": state[p][kind].cpu().contiguous()
            for p in state
            for kind in ("exp_avg", "exp_avg_sq")
        }
        save_file(tensors, folder / "moments.safetensors")
    return {"rows": len(rows)}


def proxy_features(
    proxy: Proxy,
    load: LoadModel,
    adapter: Path,
    candidates: Sequence[Candidate],
    targets: Sequence[Candidate],
    settings: SelectionSettings,
    args: Any,
    folder: Path,
) -> dict[str, Any]:
    """
    Writes the features of candidates and targets into `folder/candidates` and `folder/targets`.

    Args:
        proxy, load, args:
            As in [`warm_up`].
        adapter (`Path`):
            Where that has saved the adapter.
        candidates, targets (`Sequence[Candidate]`):
            Rows.
        settings ([`~trl_curriculum.rounds.selection.SelectionSettings`]):
            Of the gradients and their projection.
        folder (`Path`):
            What is there already is not computed again.
    """
    model, tokenizer = load()
    model = PeftModel.from_pretrained(model, str(adapter))
    moments = load_moments(adapter, model.device) if proxy.adam else None
    told = {}
    for name, rows in (("candidates", candidates), ("targets", targets)):
        stored = gradient_features(
            folder / name,
            tokenize_examples(to_dataset(rows), tokenizer, getattr(args, "max_length", None)),
            model,
            settings,
            moments if name == "candidates" else None,  # LESS: the target's gradient is that of SGD
            Accelerator(),
            bool(args.disable_tqdm),
        )
        told[name] = len(stored.usable)
    return told


def load_moments(adapter: Path, device: Any) -> Moments:
    """Adam's two moments of each parameter, as [`warm_up`] saves them."""
    found = load_file(adapter / "moments.safetensors", device=str(device))
    names = {name.rsplit("/", 1)[0] for name in found}
    return {name: (found[f"{name}/exp_avg"], found[f"{name}/exp_avg_sq"]) for name in names}
