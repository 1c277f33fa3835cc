"""What a round could not train with is refused before anything is generated."""

from pathlib import Path
from typing import Any

import pytest

from trl_curriculum import CurriculumGRPOConfig, CurriculumSFTConfig
from trl_curriculum.rounds.evolve import Evolve


PLAIN: dict[str, Any] = {"use_cpu": True, "bf16": False, "report_to": "none", "per_device_train_batch_size": 4}
LATE = {"evo_curate": {"refresh_steps": 50}}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"curriculum": "mixture"}, "'mixture' chooses among arms, and there are no arms"),
        ({"curriculum": "order"}, "'order' sorts by difficulty: set difficulty_column"),
        ({"curriculum": "order", "difficulty_column": "level"}, "selected rows: difficulty_column 'level' is not"),
        ({"curriculum": "mixture", "arms": "topic"}, "selected rows: arms 'topic' is not a column"),
        ({"curriculum": LATE, "num_train_epochs": 1}, "could not follow what it sees: .* and the run has 5"),
        ({"curriculum": "sec"}, "'sec' as it is set up follows the advantage"),
    ],
)
def test_sft(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    args = CurriculumSFTConfig(str(tmp_path), **PLAIN, **options)
    with pytest.raises(ValueError, match=words):
        Evolve(candidates=40, keep=0.5).refuse_training(args)


def test_grpo(tmp_path: Path) -> None:
    options = PLAIN | {"num_generations": 2}
    with pytest.raises(ValueError, match="'sec' chooses among arms, and there are no arms"):
        Evolve().refuse_training(CurriculumGRPOConfig(str(tmp_path), curriculum="sec", **options))
    Evolve().refuse_training(CurriculumGRPOConfig(str(tmp_path), curriculum="sec", arms="source", **options))


def test_what_can_work_is_let_through(tmp_path: Path) -> None:
    for options in ({}, {"curriculum": LATE, "max_steps": 200}, {"curriculum": "mixture", "arms": "source"}):
        Evolve(candidates=40, keep=0.5).refuse_training(CurriculumSFTConfig(str(tmp_path), **PLAIN, **options))
