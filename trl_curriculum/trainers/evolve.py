"""Generate, select, train, in rounds: a model is adapted to a task of which only a few examples are trusted."""

import dataclasses
import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from peft import LoraConfig, PeftModel
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from ..checkpoint import newest_first, what_is_missing
from ..examples import losses, tokenize_examples
from ..generators import Batch, Candidate, Generator, load, remove_duplicates, save, to_dataset
from ..gradients import read_features
from ..selection.rows import SelectionSettings, gradient_features, select_rows, write_report
from .config import CurriculumSFTConfig
from .sft import CurriculumSFTTrainer
from .stages import Stages


STAGES = ("candidates", "proxy", "features", "selection", "adapter", "scores")
Moments = dict[str, tuple[torch.Tensor, torch.Tensor]]
MakeGenerators = Callable[[Path, Any, list[Candidate]], list[tuple[float, Generator]]]


@dataclass(frozen=True)
class Proxy:
    """
    The model whose gradients candidates are compared by: a fresh adapter, warmed up on what is trusted.

    Args:
        model (`str`, *optional*):
            Name or path. Default: the student of the round, its adapter merged.
        steps (`int`, *optional*, defaults to `8`), batch_size (`int`, *optional*, defaults to `8`):
            Of the warm-up, on the seed examples and all rows that were selected in earlier rounds (ours).
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


@dataclass(frozen=True)
class EvolveSettings:
    """
    What a run consists of, besides how its rounds train.

    Args:
        rounds (`int`, *optional*, defaults to `2`):
            The paper's.
        candidates (`int`, *optional*, defaults to `1000`):
            How many are wanted in each round.
        validation_share (`float`, *optional*, defaults to `0.5`):
            Share of the trusted examples that is the selection's target; the others are the generators' examples.
        selection ([`SelectionSettings`]):
            How candidates are selected.
        proxy ([`Proxy`]):
            Whose gradients they are compared by.
        near_duplicates (`float`, *optional*, defaults to `0.7`):
            Word overlap (Jaccard, trigrams) above which a candidate repeats another, an example or a validation row.
    """

    rounds: int = 2
    candidates: int = 1000
    validation_share: float = 0.5
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    proxy: Proxy = field(default_factory=Proxy)
    near_duplicates: float = 0.7

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.candidates < 1:
            raise ValueError(f"rounds={self.rounds} and candidates={self.candidates} must be at least 1.")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share={self.validation_share} is not a share of the examples in (0, 1).")


class Evolution:
    """
    Rounds of generate, features, select, train, evaluate. Each stage is a folder; a finished one is never redone, and
    a run that was killed goes on in the middle of the stage that it was in.

    Args:
        student (`str`):
            Name or path of the model that is adapted.
        settings ([`EvolveSettings`]):
            What a round does.
        args ([`CurriculumSFTConfig`]):
            How a round trains; its `output_dir` is that of the whole run. A curriculum works inside each round.
        lora ([`~peft.LoraConfig`]):
            Adapter that all rounds train on.
        examples (`list[Candidate]`):
            Trusted examples of the target task; `source` names the subtask of each.
        test (`list[Candidate]`):
            Held-out rows that the model is scored on before and after each round, per `source`.
        generators (`Callable`):
            Takes a round's folder, a function that loads the student of the round, and the generators' examples;
            returns generators with the share of the candidates that each writes.
        told (`dict`, *optional*):
            Plain values that tell this run from another, for example what the generators are made from.
        model_kwargs (`dict`, *optional*):
            For `from_pretrained`.
    """

    def __init__(
        self,
        student: str,
        settings: EvolveSettings,
        args: CurriculumSFTConfig,
        lora: LoraConfig,
        examples: list[Candidate],
        test: list[Candidate],
        generators: MakeGenerators,
        told: dict[str, Any] | None = None,
        model_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if len(examples) < 2:
            raise ValueError(
                f"{len(examples)} trusted examples cannot be split into seeds and validation: give 2 at least."
            )
        self.student, self.settings, self.args, self.lora = student, settings, args, lora
        self.generators, self.model_kwargs = generators, model_kwargs or {}
        self.tokenizer = AutoTokenizer.from_pretrained(student)
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.seeds, self.validation = self._split(examples)
        self.test = test
        self.stages = Stages(
            Path(str(args.output_dir)),
            {
                "student": student,
                "settings": dataclasses.asdict(settings),
                "lora_r": lora.r,
                "seed": args.seed,
                "learning_rate": args.learning_rate,
                "examples": [one.question for one in examples],
                "told": told or {},
            },
        )
        self.main = self.stages.state.is_main_process

    def _split(self, examples: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        mixed = np.random.default_rng(self.args.seed).permutation(len(examples))
        n = min(max(1, round(self.settings.validation_share * len(examples))), len(examples) - 1)
        return [examples[k] for k in mixed[n:]], [examples[k] for k in mixed[:n]]

    def run(self) -> pd.DataFrame:
        """Runs all rounds, or what is left of them; returns the scores, one row per round and task."""
        self._scores(-1)
        for number in range(self.settings.rounds):
            self._round(number)
        table = self.table()
        if self.main:
            self.print(table)
        return table

    def _round(self, number: int) -> None:
        name = f"round-{number}"
        written, _ = self.stages.run(f"{name}/candidates", lambda folder: self._generate(number, folder))
        proxy, _ = self.stages.run(f"{name}/proxy", lambda folder: self._warm_up(number, folder))
        features, _ = self.stages.run(
            f"{name}/features", lambda folder: self._features(number, written, proxy, folder)
        )
        self.stages.run(f"{name}/selection", lambda folder: self._select(written, features, folder))
        self.stages.run(f"{name}/adapter", lambda folder: self._train(number, folder))
        self._scores(number)

    def folder(self, number: int, stage: str) -> Path:
        """Folder of a stage of a round."""
        return self.stages.folder / f"round-{number}" / stage

    # Models

    def load_student(self, number: int, adapter: bool = False) -> Any:
        """The student at the start of a round: with its adapter to be trained further, or that merged."""
        model: Any = AutoModelForCausalLM.from_pretrained(self.student, **self.model_kwargs)
        if number > 0:
            trained = self.folder(number - 1, "adapter")
            model = PeftModel.from_pretrained(model, str(trained), is_trainable=adapter)
            model = model if adapter else model.merge_and_unload()
        return model.to(self.stages.state.device)

    def _load_proxy(self, number: int) -> tuple[Any, Any]:
        name = self.settings.proxy.model
        if name is None:
            return self.load_student(number), self.tokenizer
        tokenizer = AutoTokenizer.from_pretrained(name)
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        model: Any = AutoModelForCausalLM.from_pretrained(name, **self.model_kwargs)
        return model.to(self.stages.state.device), tokenizer

    # Stages

    def _generate(self, number: int, folder: Path) -> dict[str, Any]:
        if not self.main:  # one process writes, the others read what it wrote
            return {}
        made = Batch([], [])
        for k, (share, generator) in enumerate(self.generators(folder, lambda: self.load_student(number), self.seeds)):
            n = max(1, round(share * self.settings.candidates))
            made = made + generator.generate(
                n, self.args.seed + number, folder / f"generator-{k}", bool(self.args.disable_tqdm)
            )
        made = remove_duplicates(made, self.seeds, self.validation, self.settings.near_duplicates)
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(made.rejected)} that were written ({made.counts()}).")
        save(made.accepted, folder / "candidates.parquet")
        save(made.rejected, folder / "rejected.jsonl")
        return made.report()

    def _warm_up(self, number: int, folder: Path) -> dict[str, Any]:
        proxy = self.settings.proxy
        model, tokenizer = self._load_proxy(number)
        rows = list(self.seeds)
        for before in range(number):
            rows += load(self.folder(before, "selection") / "selected.parquet")
        trainer = SFTTrainer(
            model,
            self._like(
                SFTConfig,
                output_dir=str(folder),
                max_steps=proxy.steps,
                per_device_train_batch_size=min(proxy.batch_size, len(rows)),
                learning_rate=proxy.learning_rate,
                save_strategy="no",
            ),
            train_dataset=to_dataset(rows),
            processing_class=tokenizer,
            peft_config=LoraConfig(r=proxy.rank, target_modules="all-linear", task_type="CAUSAL_LM"),
        )
        trainer.train()
        trainer.save_model(str(folder))
        if proxy.adam and self.main:
            named = {p: name for name, p in trainer.accelerator.unwrap_model(trainer.model).named_parameters()}
            state: Any = trainer.optimizer.state  # type: ignore[union-attr]
            save_file(
                {
                    f"{named[p]}/{kind}": state[p][kind].cpu().contiguous()
                    for p in state
                    for kind in ("exp_avg", "exp_avg_sq")
                },
                folder / "moments.safetensors",
            )
        return {"rows": len(rows)}

    def _features(self, number: int, written: Path, proxy: Path, folder: Path) -> dict[str, Any]:
        model, tokenizer = self._load_proxy(number)
        model = PeftModel.from_pretrained(model, str(proxy))
        moments = self._moments(proxy, model.device) if self.settings.proxy.adam else None
        sets = {"candidates": load(written / "candidates.parquet"), "targets": self.validation}
        told = {}
        for name, rows in sets.items():
            tokens = tokenize_examples(to_dataset(rows), tokenizer, self.args.max_length)
            stored = gradient_features(
                folder / name,
                tokens,
                model,
                self.settings.selection,
                moments if name == "candidates" else None,  # LESS: the target's gradient is that of SGD
                Accelerator(),
                bool(self.args.disable_tqdm),
            )
            told[name] = len(stored.usable)
        return told

    @staticmethod
    def _moments(proxy: Path, device: Any) -> Moments:
        found = load_file(proxy / "moments.safetensors", device=str(device))
        names = {name.rsplit("/", 1)[0] for name in found}
        return {name: (found[f"{name}/exp_avg"], found[f"{name}/exp_avg_sq"]) for name in names}

    def _select(self, written: Path, features: Path, folder: Path) -> dict[str, Any]:
        if not self.main:
            return {}
        rows = load(written / "candidates.parquet")
        tasks, task = np.unique([one.source for one in self.validation], return_inverse=True)
        kept, told = select_rows(
            read_features(features / "candidates"),
            read_features(features / "targets"),
            self.settings.selection,
            np.array([one.source for one in rows]),
            task if len(tasks) > 1 else None,
        )
        save([rows[k] for k in kept], folder / "selected.parquet")
        write_report(folder / "selection.json", told, self.settings.selection)
        return told

    def _train(self, number: int, folder: Path) -> dict[str, Any]:
        model = self.load_student(number, adapter=True)
        args = self._like(CurriculumSFTConfig, output_dir=str(folder))
        rows = to_dataset(load(self.folder(number, "selection") / "selected.parquet"))
        trainer = CurriculumSFTTrainer(
            model,
            args,
            train_dataset=rows,
            processing_class=self.tokenizer,
            peft_config=self.lora if number == 0 else None,
        )
        resume = any(what_is_missing(path) is None for path in newest_first(folder))
        trainer.train(resume_from_checkpoint=resume)
        trainer.save_model(str(folder))
        return {"rows": len(rows), "steps": trainer.state.global_step}

    def _scores(self, number: int) -> None:
        name = "before/scores" if number < 0 else f"round-{number}/scores"
        self.stages.run(name, lambda folder: self._score(number + 1))

    def _score(self, number: int) -> dict[str, Any]:
        if not self.main or not self.test:
            return {}
        model = self.load_student(number)
        rows = tokenize_examples(to_dataset(self.test), self.tokenizer, self.args.max_length)
        loss = losses(model, rows)
        source = np.array([one.source for one in self.test])
        tasks = {task: float(np.nanmean(loss[source == task])) for task in np.unique(source)}
        del model
        gc.collect()
        return {"loss": {**tasks, "all": float(np.nanmean(loss))}}

    def _like(self, config: type, **changes: Any) -> Any:
        """The run's arguments as another config, with some of them changed."""
        given = {f.name: getattr(self.args, f.name) for f in dataclasses.fields(config) if f.init}
        for derived in ("_n_gpu", "deepspeed_plugin"):
            given.pop(derived, None)
        return config(**(given | changes))

    # What a person sees

    def table(self) -> pd.DataFrame:
        """Scores so far, one row per round and task: loss in nats per trained token of the right answers."""
        found = []
        for number in range(-1, self.settings.rounds):
            told = self.stages.told(f"{'before' if number < 0 else f'round-{number}'}/scores")
            found += [(number + 1, task, loss) for task, loss in (told.get("loss") or {}).items()]
        return pd.DataFrame(found, columns=["rounds", "task", "loss"])

    def print(self, table: pd.DataFrame) -> None:
        """Prints the scores after each round, what was kept from where, and what each stage took."""
        console = Console()
        scores = Table(title="Loss of the right answers", title_justify="left", box=None, pad_edge=False)
        wide = table.pivot(index="task", columns="rounds", values="loss")
        scores.add_column("task")
        for after in wide.columns:
            scores.add_column("before" if after == 0 else f"round {int(after) - 1}", justify="right")
        for task, row in wide.iterrows():
            scores.add_row(str(task), *(f"{value:.3f}" for value in row))
        console.print(scores)
        for number in range(self.settings.rounds):
            stages = {stage: self.stages.told(f"round-{number}/{stage}") for stage in STAGES}
            made, kept = stages["candidates"], stages["selection"]
            console.print(
                f"round {number}: {made['written']} written, {made['accepted']} accepted ({made['yield']:.0%}), "
                f"rejected {made['rejected'] or 'none'}; {kept['kept']} kept {_shares(kept['shares'])}, transport "
                f"{kept['transport']:.3f}, Vendi {kept['vendi']:.1f}; seconds "
                + ", ".join(f"{stage} {told['seconds']:.0f}" for stage, told in stages.items())
            )


def _shares(shares: dict[str, float]) -> str:
    return "(" + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()) + ")"
