"""The stage that trains a round's adapter, by SFT or by GRPO."""

import copy
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from peft import LoraConfig
from transformers import TrainingArguments

from ..arms import Columns, make_arms
from ..data.columns import check_column
from ..generators import Candidate, load, to_dataset
from ..pool import Pool
from ..registry import nearest
from ..rewards.functions import RewardFunction
from ..signals import SHOWS
from ..trainers.checks import refuse_unmeasured, refuse_unseen
from ..trainers.config import CurriculumConfig, CurriculumGRPOConfig, CurriculumSFTConfig
from ..trainers.grpo import CurriculumGRPOTrainer
from ..trainers.outlook import refuse_one_arm, refuse_powerless
from ..trainers.resuming import AUTO
from ..trainers.run_settings import IGNORED_PREFIXES
from ..trainers.sft import CurriculumSFTTrainer
from ..trainers.sizes import grpo_run, sft_run
from .model import Model
from .stage import RecordedBy, Report, Stage


# Arguments on which neither rows nor weights depend
IGNORED_ARGUMENTS = {"output_dir", "overwrite_output_dir", "run_name", "project", "disable_tqdm"}
IGNORED_ARGUMENTS |= {"resume_from_checkpoint", "use_cpu"}


def training_settings(args: Any) -> dict[str, Any]:
    """The arguments of training on which the weights depend."""
    names = sorted(field.name for field in dataclasses.fields(args) if field.init)
    counted = [name for name in names if name not in IGNORED_ARGUMENTS and not name.startswith(IGNORED_PREFIXES)]
    return {name: getattr(args, name) for name in counted}


@dataclass(frozen=True)
class Train(Stage):
    """
    Trains an adapter on rows, and saves it in its folder.

    Args:
        student ([`Model`]):
            Whose adapter is trained further; without one, a fresh one is.
        rows (`Path`):
            File of candidates.
        training ([`CurriculumSFTConfig`] or [`CurriculumGRPOConfig`]):
            How; its `output_dir` is not used.
        lora ([`~peft.LoraConfig`]):
            The fresh adapter.
        rewards (`list[Callable]`):
            Of GRPO; they are given the columns `answer` and `source`.
    """

    student: Model
    rows: Path
    training: Annotated[CurriculumSFTConfig | CurriculumGRPOConfig, RecordedBy(training_settings)]
    lora: Annotated[LoraConfig, RecordedBy(LoraConfig.to_dict)]
    rewards: list[RewardFunction]

    def run(self, folder: Path) -> Report:
        rows = load(self.rows)
        if self.rewards and all(row.answer is None for row in rows):
            raise ValueError(
                f"GRPO's rewards judge by the column `answer`, and none of the {len(rows)} selected rows has one: "
                "take generators that write short answers."
            )
        model = self.student.load_to_train()
        args = copy.copy(self.training)
        args.output_dir, args.resume_from_checkpoint, args.overwrite_output_dir = str(folder), None, False
        args.unusable_rows = "leave_out"  # what a model wrote is not the user's to mend
        common: dict[str, Any] = {
            "args": args,
            "train_dataset": to_dataset(rows),
            "processing_class": self.student.tokenizer,
            "peft_config": copy.deepcopy(self.lora) if self.student.adapter is None else None,
        }
        trainer = (
            CurriculumGRPOTrainer(model, self.rewards, **common)
            if self.rewards
            else CurriculumSFTTrainer(model, **common)
        )
        trainer.train(resume_from_checkpoint=AUTO)
        trainer.save_model(str(folder))
        tokens = [entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry]
        return {"rows": len(rows), "steps": trainer.state.global_step, "trained_tokens": tokens[-1] if tokens else 0}


def refuse_idle(args: CurriculumSFTConfig | CurriculumGRPOConfig, rows: int) -> None:
    """
    Refuses, before anything is generated, a curriculum that could do nothing in a round.

    Args:
        args ([`CurriculumSFTConfig`] or [`CurriculumGRPOConfig`]):
            How a round trains.
        rows (`int`):
            Rows that a round trains on, at most.

    Raises:
        `ValueError`: for a column that selected rows do not have, for a curriculum of arms without arms, and where the
            first refresh would come after the last step.
    """
    by_grpo, method, source = isinstance(args, CurriculumGRPOConfig), args.curriculum_method, make_arms(args.arms)
    columns = [field.name for field in dataclasses.fields(Candidate)]
    names = {"difficulty_column": [args.difficulty_column] if args.difficulty_column else []}
    names["arms"] = source.names if isinstance(source, Columns) else []
    for role, asked in names.items():
        for name in asked:
            check_column(name, columns, f"Rounds train on selected rows: {role}")
    refuse_unseen(method, SHOWS["GRPO" if by_grpo else "SFT"], "a round")
    refuse_unmeasured(method, args)
    if args.difficulty_column or (source is not None and not source.estimated):
        return  # how hard the rows are, and which arms they have, shows when they are there
    curriculum = method.bind(Pool(rows, estimated=source))
    refuse_one_arm(curriculum, args)
    run = (grpo_run if by_grpo else sft_run)(args, rows, args.world_size)
    refuse_powerless(curriculum, curriculum.outlook(run.batches, run.rows), run)


def grpo_args(args: CurriculumSFTConfig, options: dict[str, Any]) -> CurriculumGRPOConfig:
    """
    Arguments of GRPO: options of its own, and what was set for all trainers and curricula in the arguments of SFT, but
    for the learning rate, which is another one in GRPO.

    Raises:
        `ValueError`: for an option that GRPO does not have.
    """
    known = {field.name for field in dataclasses.fields(CurriculumGRPOConfig) if field.init}
    for name in options:
        if name not in known:
            raise ValueError(f"grpo has no option {name!r}{nearest(name, known)}: see CurriculumGRPOConfig.")
    fixed = {name: getattr(args, name) for name in ("output_dir", "use_cpu", "bf16", "fp16")}
    plain = CurriculumSFTConfig(**fixed)
    common = {f.name for base in (TrainingArguments, CurriculumConfig) for f in dataclasses.fields(base) if f.init}
    common -= {"learning_rate", "remove_unused_columns"}
    changed = {name: getattr(args, name) for name in common if getattr(args, name) != getattr(plain, name)}
    return CurriculumGRPOConfig(**(changed | fixed | options))
