import re
from typing import Any

import pytest

from trl_curriculum import Pool, make_curriculum
from trl_curriculum.curricula import SEC, Uniform


POOL = Pool(4, [0, 0, 1, 1], ["a", "b"])


def test_a_name_a_class_or_an_instance() -> None:
    instance = SEC(POOL, tau=0.3)
    assert make_curriculum("sec", POOL, tau=0.3).options() == make_curriculum(SEC, POOL, tau=0.3).options()
    assert make_curriculum(instance, POOL) is instance


@pytest.mark.parametrize(
    ("curriculum", "options", "words"),
    [
        ("sce", {}, "Unknown curriculum 'sce' .did you mean 'sec'.*: choose one of uniform, order, sec, dump"),
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
        (dict, {}, "is not a name, a Curriculum class or an instance"),
        (SEC(POOL), {"tau": 0.3}, "already made: give tau to its constructor"),
        (Uniform(Pool(3)), {}, "made for 3 rows, but the dataset has 4"),
    ],
)
def test_bad_arguments_say_what_is_wrong(curriculum: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        make_curriculum(curriculum, POOL, **options)
    assert re.search(words, str(error.value))
