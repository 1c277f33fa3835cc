"""Generate, select, train, in rounds: a model is adapted to a task of which only a few examples are trusted."""

import copy
import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainingArguments

from ..disk.checkpoint import newest_first, what_is_missing
from ..disk.fingerprint import fingerprint, weights_key
from ..disk.stages import Stages
from ..generators import Batch, Candidate, Generator, load, remove_duplicates, save, to_dataset
from ..registry import nearest
from ..report.rounds import print_rounds, scores_table
from ..rewards.answers import normalized
from ..rewards.functions import RewardFunction, reward
from ..trainers.config import CurriculumConfig, CurriculumGRPOConfig, CurriculumSFTConfig
from ..trainers.grpo import CurriculumGRPOTrainer
from ..trainers.sft import CurriculumSFTTrainer
from .proxy import Proxy, load_proxy, proxy_features, warm_up
from .scores import score
from .selection import SelectionSettings, select_candidates


logger = logging.getLogger(__name__)


STAGES = ("candidates", "proxy", "features", "selection", "adapter", "scores")
# Arguments of training on which neither rows nor weights depend
UNTOLD = ("logging_", "log_", "save_", "eval_", "per_device_eval", "hub_", "push_", "report_", "dataloader_", "ddp_")
UNTOLD_NAMES = {"output_dir", "run_name", "project", "disable_tqdm", "resume_from_checkpoint", "use_cpu"}
MakeGenerators = Callable[[Path, Any, list[Candidate]], Iterable[tuple[float, Generator]]]


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
            Word overlap (Jaccard, trigrams) above which a candidate repeats another, an example or a held-out row
            (validation or test).
        accuracy (`str`, *optional*, defaults to `"exact_match"`):
            Name of a reward function that judges the model's most probable answers to held-out rows by their column
            `answer`; `None`: they are not written, and only losses are told.
        max_answer_tokens (`int`, *optional*, defaults to `256`):
            Tokens of such an answer at most.
    """

    rounds: int = 2
    candidates: int = 1000
    validation_share: float = 0.5
    selection: SelectionSettings = field(default_factory=SelectionSettings)
    proxy: Proxy = field(default_factory=Proxy)
    near_duplicates: float = 0.7
    accuracy: str | None = "exact_match"
    max_answer_tokens: int = 256

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.candidates < 1:
            raise ValueError(f"rounds={self.rounds} and candidates={self.candidates} must be at least 1.")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share={self.validation_share} is not a share of the examples in (0, 1).")
        if self.max_answer_tokens < 1:
            raise ValueError(f"max_answer_tokens={self.max_answer_tokens} must be at least 1.")
        if not 0 < self.near_duplicates <= 1:
            raise ValueError(f"near_duplicates={self.near_duplicates} is not a word overlap in (0, 1].")
        if self.selection.keep > self.candidates:
            raise ValueError(
                f"keep={self.selection.keep:g} of the selection is more than the candidates={self.candidates}."
            )
        self.proxy.check(self.selection)
        if self.accuracy is not None:
            reward(self.accuracy)  # an unknown name is told before anything is written


class Evolution:
    """
    Rounds of generate, features, select, train, evaluate. Each stage is a folder; a finished one is never redone, and
    a run that was killed goes on in the middle of the stage that it was in.

    Args:
        student (`str`):
            Name or path of the model that is adapted.
        settings ([`EvolveSettings`]):
            What a round does.
        args ([`CurriculumSFTConfig`] or [`CurriculumGRPOConfig`]):
            How a round trains, by SFT or by GRPO; its `output_dir` is that of the whole run. A curriculum works inside
            each round.
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
        reward_funcs (`list[Callable]`, *optional*):
            Of GRPO; they are given the columns `answer` and `source`.

    Source: Li et al. 2026, arXiv 2604.26170 (two rounds of LoRA SFT on 20 % or 50 %; all else is ours).
    """

    def __init__(
        self,
        student: str,
        settings: EvolveSettings,
        args: CurriculumSFTConfig | CurriculumGRPOConfig,
        lora: LoraConfig,
        examples: list[Candidate],
        test: list[Candidate],
        generators: MakeGenerators,
        told: dict[str, Any] | None = None,
        model_kwargs: dict[str, Any] | None = None,
        reward_funcs: list[RewardFunction] | None = None,
    ) -> None:
        if isinstance(args, CurriculumGRPOConfig) != bool(reward_funcs):
            raise ValueError(
                f"args is a {type(args).__name__}, and reward_funcs are {'given' if reward_funcs else 'missing'}: "
                "rewards go with GRPO."
            )
        self.student, self.settings, self.args, self.lora = student, settings, args, copy.deepcopy(lora)
        self.generators, self.model_kwargs, self.reward_funcs = generators, model_kwargs or {}, reward_funcs
        self.tokenizer = AutoTokenizer.from_pretrained(student, revision=self.model_kwargs.get("revision"))
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.seeds, self.validation = self._split(_trusted(examples, test))
        self.test = test
        self.stages, self.output = Stages(), Path(str(args.output_dir))
        self.on: dict[str, dict[str, Any]] = {  # what each depends on, besides what those before it have made
            "candidates": {
                "generators": told or {},
                "candidates": settings.candidates,
                "near_duplicates": settings.near_duplicates,
                "fingerprint of the examples": _fingerprint(self.seeds),
                "fingerprint of the validation and test rows": _fingerprint([*self.validation, *test]),
                "seed": args.seed,
            },
            "proxy": {
                "proxy": dataclasses.asdict(settings.proxy),
                "weights": weights_key(settings.proxy.model or student),
                "seed": args.seed,
            },
            "features": {"selection": settings.selection.of_features()},
            "selection": {"selection": dataclasses.asdict(settings.selection)},
            "adapter": {
                "training": _of_training(args),
                "lora": {name: _plain(value) for name, value in lora.to_dict().items()},
                "rewards": [getattr(one, "__name__", type(one).__name__) for one in reward_funcs or []],
            },
            "scores": {
                "fingerprint of the test rows": _fingerprint(test),
                "accuracy": settings.accuracy,
                "max_answer_tokens": settings.max_answer_tokens,
            },
        }
        of_student = {
            "student": student,
            "weights": weights_key(student),
            "model": {name: _plain(value) for name, value in self.model_kwargs.items()},
            "max_length": getattr(args, "max_length", None),
        }
        for stage in ("candidates", "features", "adapter", "scores"):
            self.on[stage] = of_student | self.on[stage]
        self.main = self.stages.state.is_main_process

    def _split(self, examples: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        mixed = np.random.default_rng(self.args.seed).permutation(len(examples))
        n = min(max(1, round(self.settings.validation_share * len(examples))), len(examples) - 1)
        return [examples[k] for k in mixed[n:]], [examples[k] for k in mixed[:n]]

    def run(self) -> pd.DataFrame:
        """Runs all rounds, or what is left of them; returns the scores, one row per round and task."""
        self._stage(-1, "scores", lambda folder: self._score(0), alone=True)
        for number in range(self.settings.rounds):
            self._round(number)
        table = self.table()
        if self.main:
            self.print(table)
        return table

    def _round(self, number: int) -> None:
        settings = self.settings
        written = self._stage(number, "candidates", lambda folder: self._generate(number, folder), alone=True)
        rows = load(written / "candidates.parquet")
        proxy = settings.proxy, lambda: self._load_proxy(number)
        adapter = self._stage(
            number, "proxy", lambda folder: warm_up(*proxy, self._trusted(number), self.args, folder)
        )
        features = self._stage(
            number,
            "features",
            lambda folder: proxy_features(
                *proxy, adapter, rows, self.validation, settings.selection, self.args, folder
            ),
        )
        self._stage(
            number,
            "selection",
            lambda folder: select_candidates(rows, self.validation, features, settings.selection, folder),
            alone=True,
        )
        self._stage(number, "adapter", lambda folder: self._train(number, folder))
        self._stage(number, "scores", lambda folder: self._score(number + 1), alone=True)

    def _stage(
        self, number: int, stage: str, make: Callable[[Path], dict[str, Any] | None], alone: bool = False
    ) -> Path:
        folder = self.folder(number, stage)
        self.stages.run(folder, self.on[stage], make, alone)
        return folder

    def folder(self, number: int, stage: str) -> Path:
        """Folder of a stage of a round; what comes before the first round has -1."""
        return self.output / ("before" if number < 0 else f"round-{number}") / stage

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
        kwargs = {key: value for key, value in self.model_kwargs.items() if key in ("dtype", "attn_implementation")}
        return load_proxy(name, kwargs, self.stages.state.device)

    # Stages

    def _generate(self, number: int, folder: Path) -> dict[str, Any]:
        made, number_of = Batch([], []), 0
        messages = not isinstance(self.seeds[0].prompt, str)
        for share, generator in self.generators(folder, lambda: self.load_student(number), self.seeds):
            n = max(1, round(share * self.settings.candidates))
            into = folder / f"generator-{number_of}"
            batch = generator.generate(n, self.args.seed + number, into, bool(self.args.disable_tqdm))
            if any(isinstance(one.prompt, str) == messages for one in batch.accepted):
                raise ValueError(
                    f"Generator {number_of} writes {'texts' if messages else 'messages'}, and the trusted examples "
                    f"are {'messages' if messages else 'texts'}: set its `conversational` to {messages}, or give it "
                    "other rows."
                )
            made, number_of = made + batch, number_of + 1
            del generator  # with its model, before the next comes
        held_out = [*self.validation, *self.test]
        made = remove_duplicates(made, self.seeds, held_out, self.settings.near_duplicates)
        if not made.accepted:
            raise ValueError(f"No candidate is left of {len(made.rejected)} that were written ({made.counts()}).")
        save(made.accepted, folder / "candidates.parquet")
        save(made.rejected, folder / "rejected.jsonl")
        return made.report()

    def _trusted(self, number: int) -> list[Candidate]:
        """What the proxy of a round is warmed up on: the seeds, and all that was selected before."""
        before = [load(self.folder(k, "selection") / "selected.parquet") for k in range(number)]
        return sum(before, self.seeds)

    def _train(self, number: int, folder: Path) -> dict[str, Any]:
        model = self.load_student(number, adapter=True)
        selected = load(self.folder(number, "selection") / "selected.parquet")
        if self.reward_funcs and all(row.answer is None for row in selected):
            raise ValueError(
                f"GRPO's rewards judge by the column `answer`, and none of the {len(selected)} selected rows has one: "
                "take generators that write short answers."
            )
        rows = to_dataset(selected)
        args = copy.copy(self.args)
        args.output_dir = str(folder)
        args.hub_model_id = args.hub_model_id or self.output.name  # not that of the stage's folder
        common: dict[str, Any] = {
            "args": args,
            "train_dataset": rows,
            "processing_class": self.tokenizer,
            "peft_config": self.lora if number == 0 else None,
        }
        trainer = (
            CurriculumGRPOTrainer(model, self.reward_funcs, **common)
            if self.reward_funcs
            else CurriculumSFTTrainer(model, **common)
        )
        resume = any(what_is_missing(path) is None for path in newest_first(folder))
        trainer.train(resume_from_checkpoint=resume)
        trainer.save_model(str(folder))
        return {"rows": len(rows), "steps": trainer.state.global_step}

    def _score(self, number: int) -> dict[str, Any]:
        if not self.test:
            return {}
        settings = self.settings
        return score(
            self.load_student(number),
            self.tokenizer,
            self.test,
            reward(settings.accuracy) if settings.accuracy is not None else None,
            settings.max_answer_tokens,
            getattr(self.args, "max_length", None),
        )

    def table(self) -> pd.DataFrame:
        """Scores so far: `rounds` that were trained, `score` (`loss` or `accuracy`), `task`, `value`."""
        return scores_table([self._told(number, "scores") for number in range(-1, self.settings.rounds)])

    def print(self, table: pd.DataFrame) -> None:
        """Prints the scores, and what each round has made, kept and taken."""
        rounds = range(self.settings.rounds)
        print_rounds(table, [{stage: self._told(number, stage) for stage in STAGES} for number in rounds])

    def _told(self, number: int, stage: str) -> dict[str, Any]:
        return self.stages.told(self.folder(number, stage))


def grpo_args(args: CurriculumSFTConfig, options: dict[str, Any]) -> CurriculumGRPOConfig:
    """
    Arguments of GRPO: options of its own, and what was set for all trainers and curricula in the arguments of SFT, but
    for the learning rate, which is another one in GRPO.

    Raises:
        `ValueError`: for an option that GRPO does not have.
    """
    known = {f.name for f in dataclasses.fields(CurriculumGRPOConfig) if f.init}
    for name in options:
        if name not in known:
            raise ValueError(f"grpo has no option {name!r}{nearest(name, known)}: see CurriculumGRPOConfig.")
    fixed = {name: getattr(args, name) for name in ("output_dir", "use_cpu", "bf16", "fp16")}
    plain = CurriculumSFTConfig(**fixed)
    common = {f.name for base in (TrainingArguments, CurriculumConfig) for f in dataclasses.fields(base) if f.init}
    common -= {"learning_rate", "remove_unused_columns"}
    told = {name: getattr(args, name) for name in common if getattr(args, name) != getattr(plain, name)}
    return CurriculumGRPOConfig(**(told | fixed | options))


def _trusted(examples: Sequence[Candidate], test: Sequence[Candidate]) -> list[Candidate]:
    """Examples with different questions, none of which is a test row's."""
    held_out = {normalized(one.question) for one in test}
    leaked = [one.question for one in examples if normalized(one.question) in held_out]
    if leaked:
        raise ValueError(
            f"{len(leaked)} of {len(examples)} trusted examples are test rows too (the first: {leaked[0][:80]!r}): "
            "take them out of one of the two."
        )
    distinct = list({normalized(one.question): one for one in reversed(examples)}.values())[::-1]
    if len(distinct) < len(examples):
        logger.warning("%d trusted examples repeat a question and are left out.", len(examples) - len(distinct))
    if len(distinct) < 2:
        raise ValueError(
            f"{len(distinct)} trusted examples cannot be split into seeds and validation: give 2 at least."
        )
    return distinct


def _fingerprint(rows: Sequence[Candidate]) -> str:
    return fingerprint([dataclasses.astuple(row) for row in rows])


def _of_training(args: Any) -> dict[str, Any]:
    """The arguments of training on which the weights depend, as plain values."""
    names = sorted(f.name for f in dataclasses.fields(args) if f.init)
    told = [name for name in names if name not in UNTOLD_NAMES and not name.startswith(UNTOLD)]
    return {name: _plain(getattr(args, name)) for name in told}


def _plain(value: Any) -> Any:
    """A value as JSON holds it, the same in every process."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set):
        return sorted(map(str, value))
    return value if isinstance(value, str | int | float | bool | None) else str(value)
