import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trl_curriculum import Pool, make_curriculum
from trl_curriculum.curricula import SEC, TD, ArmCurriculum, Boltzmann, Curriculum, Uniform, identity
from trl_curriculum.disk.state import StateError, read_state, write_state


POOL = Pool(4, [0, 0, 1, 1], ["a", "b"])


def test_a_name_a_class_or_an_instance() -> None:
    instance = SEC(POOL, tau=0.3)
    assert make_curriculum("sec", POOL, tau=0.3).options() == make_curriculum(SEC, POOL, tau=0.3).options()
    assert make_curriculum(instance, POOL) is instance


@pytest.mark.parametrize(
    ("curriculum", "options", "words"),
    [
        ("sce", {}, "Unknown curriculum 'sce' .did you mean 'sec'.*: choose one of uniform, mixture, .*sec, dump"),
        ("sec", {"tua": 0.2}, "Curriculum 'sec' has no option 'tua' .did you mean 'tau'.*: it has alpha, tau,"),
        ("uniform", {"tau": 0.2}, "Curriculum 'uniform' has no option 'tau': it has none."),
        ("sec", {"tau": "low"}, "Option tau='low' of curriculum 'sec' must be float."),
        ("sec", {"success_bins": 2.5}, "Option success_bins=2.5 of curriculum 'sec' must be int."),
        ("sec", {"unsampled": "drop"}, "must be one of 'keep', 'decay'"),
        ("sec", {"tau": 0.0}, "tau=0.0 is not a temperature above 0"),
        ("sec", {"alpha": 1.5}, "alpha=1.5 is not a step size"),
        ("sec", {"success_bins": 5}, "the pool already has 2"),
        ("dump", {"window": 0}, "window=0 must remember at least one rollout"),
        ("order", {"mode": "random"}, "must be one of 'easy_to_hard'"),
        ("order", {"total_draws": 0, "mode": "blocked"}, "total_draws=0 must be at least 1"),
        ("order", {"difficulty": "guess"}, "must be one of 'column', 'probe'"),
        ("baby_steps", {}, "Curriculum 'baby_steps' sorts by difficulty: set difficulty_column"),
        ("baby_steps", {"stages": 0}, "stages=0 must be at least 1"),
        ("competence", {"initial": 0.0}, "initial=0.0 is not a share of the rows"),
        ("competence", {"duration": 1.5}, "duration=1.5 is not a share of the training"),
        ("self_paced", {"start": 2.0}, "start=2.0 is not a share of the rows"),
        ("self_paced", {"measure": "paid"}, "must be one of 'free', 'probe'"),
        ("loss_top_k", {"share": 0.0}, "share=0.0 is not a share of the rows"),
        ("loss_top_k", {"refresh_steps": 0}, "refresh_steps=0 must be at least 1"),
        ("data_maps", {"observations": 1}, "observations=1 must be at least 2"),
        ("cyclical", {"start": 0.8, "end": 0.5}, "start=0.8 and end=0.5 must be shares"),
        ("cyclical", {"alpha": 1.0}, "alpha=1.0 is not a factor"),
        ("mixture", {"weights": {"a": 1}}, "weights lacks the arm 'b'"),
        ("evo_curate", {"kappa": 0.0}, "ess=0.0 is not a share"),
        (dict, {}, "is not a name, a Curriculum class or an instance"),
        (SEC(POOL), {"tau": 0.3}, "already made: give tau to its constructor"),
        (Uniform(Pool(3)), {}, "made for 3 rows, but the dataset has 4"),
    ],
)
def test_bad_arguments_say_what_is_wrong(curriculum: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        make_curriculum(curriculum, POOL, **options)
    assert re.search(words, str(error.value))


class Forgetful(Uniform):
    def __init__(self, pool: Pool, window: int = 3, seed: int = 0) -> None:
        super().__init__(pool, seed)


class Seedless(Uniform):
    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)


def test_a_class_that_could_not_be_saved_or_seeded_fails_when_it_is_made() -> None:
    with pytest.raises(TypeError, match="Forgetful does not keep its option 'window' as an attribute"):
        make_curriculum(Forgetful, POOL)
    with pytest.raises(TypeError, match="The constructor of Seedless must take `pool` and `seed`"):
        make_curriculum(Seedless, POOL)


def test_a_class_without_a_name_is_called_by_its_own() -> None:
    class Mine(Curriculum):
        def _pick(self, n: int) -> Any:
            return np.zeros(n, int), np.zeros(n, int), np.full(n, np.nan)

    assert make_curriculum(Mine, POOL).name == "mine"


def test_parts_put_together_by_hand_can_be_saved(tmp_path: Path) -> None:
    def composed(alpha: float) -> ArmCurriculum:
        return ArmCurriculum(POOL, estimator=TD(alpha), utility=identity, selector=Boltzmann(0.2))

    write_state(tmp_path / "state", composed(0.5).state_dict())
    composed(0.5).load_state_dict(read_state(tmp_path / "state"))
    with pytest.raises(StateError, match=r"estimator=.TD\(alpha=0.5, unsampled='keep'\)"):
        composed(0.1).load_state_dict(read_state(tmp_path / "state"))


def test_numpy_numbers_are_numbers() -> None:
    assert make_curriculum("sec", POOL, tau=np.float32(0.5)).options()["tau"] == 0.5
