"""A toy self-play loop: a model answers its own questions, and trains on those answers that its reward likes best."""

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from peft import LoraConfig
from trl import SFTConfig, SFTTrainer

from trl_curriculum.generators import Candidate, load, save, to_dataset
from trl_curriculum.lm.engines import Sampling
from trl_curriculum.lm.transformers_engine import TransformersEngine
from trl_curriculum.rounds import Job, RoundMethod
from trl_curriculum.rounds.loop import Loop, Round
from trl_curriculum.rounds.model import Model
from trl_curriculum.rounds.stage import Report, Stage


def liked(answer: str) -> float:
    """Letters of the first half of the alphabet, of the six that an answer may have."""
    return sum(letter < "n" for letter in answer) / 6


@dataclass(frozen=True)
class Questions(Stage):
    """Asks questions and writes down the best of the model's own answers to each."""

    main_process_only = True
    model: Model
    questions: int
    answers: int
    seed: int

    def run(self, folder: Path) -> Report:
        rng = np.random.default_rng(self.seed)
        asked = [f"{k}:{''.join(rng.choice(list('abcdef'), 3))}#" for k in range(self.questions)]
        engine = TransformersEngine(self.model.load(), self.model.tokenizer)
        prompts = [ids for ids in map(engine.encode, asked) for _ in range(self.answers)]
        seeds = rng.integers(2**31, size=len(prompts)).tolist()
        written = engine.complete(prompts, Sampling(max_new_tokens=6), seeds)
        rewards = np.reshape([liked(one.text) for one in written], (self.questions, self.answers))
        best = rewards.argmax(axis=1) + np.arange(self.questions) * self.answers
        rows = [Candidate(question, written[k].text or "a") for question, k in zip(asked, best, strict=True)]
        save(rows, folder / "rows.parquet")
        return {"rows": len(rows), "reward": float(rewards.mean()), "best": float(rewards.max(axis=1).mean())}


@dataclass(frozen=True)
class Train(Stage):
    """A few steps of SFT on them."""

    model: Model
    rows: Path
    steps: int

    def run(self, folder: Path) -> Report:
        if dies_in == folder.parent.name:
            (folder / "half").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        args = SFTConfig(
            str(folder),
            use_cpu=True,
            bf16=False,
            max_steps=self.steps,
            learning_rate=3e-2,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        fresh = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
        trainer = SFTTrainer(
            self.model.load_to_train(),
            args,
            train_dataset=to_dataset(load(self.rows)),
            processing_class=self.model.tokenizer,
            peft_config=fresh if self.model.adapter is None else None,
        )
        trainer.train()
        trainer.save_model(str(folder))
        return {"steps": trainer.state.global_step}


def loop(output_dir: Path, model: str, rounds: int = 2) -> Loop:
    first = Model.of(model)

    def stages(at: Round) -> dict[str, Stage]:
        now = replace(first, adapter=at.earlier[-1].folder("train") if at.earlier else None)
        return {
            "questions": Questions(now, questions=8, answers=4, seed=at.number),
            "train": Train(now, at.folder("questions") / "rows.parquet", steps=6),
        }

    return Loop(stages, rounds, output_dir)


@dataclass(frozen=True)
class SelfPlay(RoundMethod):
    """Questions that the model asks and answers itself; it trains on what its reward likes best."""

    name = "self_play"

    def run(self, job: Job) -> Path:
        played = loop(Path(str(job.args.output_dir)), job.student, self.rounds)
        played.run()
        return played.rounds[-1].folder("train")


dies_in = ""

if __name__ == "__main__":
    dies_in = sys.argv[3]
    loop(Path(sys.argv[1]), sys.argv[2]).run()
