"""The model whose gradients candidates are compared by: a fresh adapter, warmed up on a few rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from accelerate import Accelerator, PartialState
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from trl import SFTConfig, SFTTrainer

from ..disk.tensors import write_tensors
from ..generators import Candidate, load, to_dataset
from ..lm.losses import tokenize_examples
from ..lm.weights import whole_when_saved
from ..options import check_options
from ..registry import option
from .model import Model
from .selection import FeatureSettings, gradient_features
from .stage import IGNORED, Report, Stage


MACHINE_ARGUMENTS = (  # what a warm-up takes from the arguments of training: all else is its own
    "seed",
    "data_seed",
    "use_cpu",
    "deepspeed",
    "fsdp",
    "fsdp_config",
    "bf16",
    "fp16",
    "tf32",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "full_determinism",
    "disable_tqdm",
)
Moments = dict[str, tuple[Any, Any]]
FEWEST = 32  # rows to warm up on, where none are given


@dataclass(frozen=True)
class Proxy:
    """Which model, and how it is warmed up: the gradient of an adapter that was never trained is half zeros."""

    model: str | None = option(None, "Name or path; default: the student of the round, its adapter merged.")
    steps: int = option(8, "Of the warm-up.", least=1)
    batch_size: int = option(8, "Of the warm-up, over all processes.", least=1)
    learning_rate: float = option(1e-3, "Of the warm-up.", above=0)
    rank: int = option(8, "Of the adapter, on all linear layers.", least=1)
    adam: bool = option(
        False, "Whether a candidate's feature is the direction of its Adam step (LESS) instead of its SGD step's."
    )

    def __post_init__(self) -> None:
        check_options(self, "the proxy")

    def check(self, features: FeatureSettings) -> None:
        """Refuses features that a proxy of this kind has not."""
        if self.adam and features.layers != "lora":
            raise ValueError(
                f"adam needs the moments of the warm-up, which trains the adapter: take layers='lora', not "
                f"{features.layers!r}."
            )


@dataclass(frozen=True)
class WarmUp(Stage):
    """
    Trains a fresh adapter of the proxy on a few rows and saves it, with Adam's moments where they are wanted.

    Args:
        model ([`Model`]):
            The proxy without that adapter.
        proxy ([`Proxy`]):
            How it is warmed up.
        candidates (`Path`):
            File of the candidates.
        examples (`list[Candidate]`, *optional*):
            What to train on. Default: a twentieth of the candidates, by the seed, 32 at least.
        earlier (`list[Path]`):
            Files of rows to train on as well: what earlier rounds have selected.
        max_length (`int`, *optional*):
            Tokens to which a row is cut.
        seed (`int`):
            Of the choice of rows and of the training.
        args ([`~trl.SFTConfig`] or another of TRL's configs):
            Precision and the like are taken from it, not how it trains.
    """

    model: Model
    proxy: Proxy
    candidates: Path
    examples: list[Candidate] | None
    earlier: list[Path]
    max_length: int | None
    seed: int
    args: Annotated[Any, IGNORED]

    def run(self, folder: Path) -> Report:
        rows, proxy = self._rows(), self.proxy
        trainer = SFTTrainer(
            self.model.load(),
            SFTConfig(
                str(folder),
                max_steps=proxy.steps,
                per_device_train_batch_size=max(1, min(proxy.batch_size, len(rows)) // PartialState().num_processes),
                learning_rate=proxy.learning_rate,
                max_length=self.max_length,
                save_strategy="no",
                report_to="none",
                **{name: getattr(self.args, name) for name in MACHINE_ARGUMENTS},
            ),
            train_dataset=to_dataset(rows),
            processing_class=self.model.tokenizer,
            peft_config=LoraConfig(r=proxy.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
        with whole_when_saved(trainer.accelerator):
            trainer.save_model(str(folder))
        if proxy.adam:
            save_moments(trainer, folder)
        return {"rows": len(rows)}

    def _rows(self) -> list[Candidate]:
        if self.examples is not None:
            return [*self.examples, *(row for file in self.earlier for row in load(file))]
        rows = load(self.candidates)
        n = min(max(FEWEST, len(rows) // 20), len(rows))
        return [rows[k] for k in np.sort(np.random.default_rng(self.seed).choice(len(rows), n, replace=False))]


@dataclass(frozen=True)
class Features(Stage):
    """
    Writes the features of candidates and targets into `candidates` and `targets` of its folder; what is there already
    is not computed again.

    Args:
        model, proxy:
            As in [`WarmUp`].
        adapter (`Path`):
            Where that has saved the adapter.
        candidates (`Path`), targets (`list[Candidate]`):
            File of the candidates, and rows.
        max_length (`int`, *optional*):
            Tokens to which a row is cut.
        features ([`~trl_curriculum.rounds.selection.FeatureSettings`]):
            Of the gradients and their projection.
        disable_tqdm (`bool`):
            Whether to show no progress bars.
    """

    model: Model
    proxy: Proxy
    adapter: Path
    candidates: Path
    targets: list[Candidate]
    max_length: int | None
    features: FeatureSettings
    disable_tqdm: Annotated[bool, IGNORED]

    def run(self, folder: Path) -> Report:
        model = PeftModel.from_pretrained(self.model.load(), str(self.adapter))
        moments = load_moments(self.adapter, model.device) if self.proxy.adam else None
        report = {}
        for name, rows in (("candidates", load(self.candidates)), ("targets", self.targets)):
            stored = gradient_features(
                folder / name,
                tokenize_examples(to_dataset(rows), self.model.tokenizer, self.max_length),
                model,
                self.features,
                moments if name == "candidates" else None,  # LESS: the target's gradient is that of SGD
                Accelerator(),
                self.disable_tqdm,
            )
            report[name] = len(stored.usable)
        return report


def save_moments(trainer: Any, adapter: Path) -> None:
    """Saves Adam's two moments of each parameter that a trainer has trained. Must be called by all processes."""
    tensors = {}
    for name, p in trainer.accelerator.unwrap_model(trainer.model).named_parameters():
        for kind in ("exp_avg", "exp_avg_sq") if p.requires_grad else ():
            tensors[f"{name}/{kind}"] = _moment(trainer, p, kind).cpu().contiguous()
    if trainer.accelerator.is_main_process:
        write_tensors(adapter / "moments.safetensors", tensors)


def _moment(trainer: Any, p: Any, kind: str) -> Any:
    """A moment of a parameter, whole on every process, whoever holds its parts."""
    if trainer.is_deepspeed_enabled:
        from deepspeed.utils import safe_get_full_optimizer_state

        return safe_get_full_optimizer_state(p, kind)
    moment = trainer.optimizer.state[p][kind]
    return moment.full_tensor() if hasattr(moment, "full_tensor") else moment


def load_moments(adapter: Path, device: Any) -> Moments:
    """Adam's two moments of each parameter, as [`save_moments`] saves them."""
    found = load_file(adapter / "moments.safetensors", device=str(device))
    names = {name.rsplit("/", 1)[0] for name in found}
    return {name: (found[f"{name}/exp_avg"], found[f"{name}/exp_avg_sq"]) for name in names}
