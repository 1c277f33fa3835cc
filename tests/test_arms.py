"""Where arms come from: columns, clusters, or what training shows."""

from typing import Any

import numpy as np
import pytest
from cases import VARIANTS
from datasets import Dataset

from trl_curriculum import Pool
from trl_curriculum.arms import ARMS, Clusters, Columns, make_arms
from trl_curriculum.curricula import SEC, ArmMethod, Mixture, SuccessRate
from trl_curriculum.testing.simulated import from_rewards, run


DATA = Dataset.from_dict(
    {
        "prompt": ["red apple pie", "fast blue car", "green apple tart", "old blue car", "sour apple pie", "new car"],
        "level": [2, 10, 2, 1, 1, 10],
        "kind": ["x", "y", "y", "x", "x", "y"],
        "vector": [[1.0, 0], [0, 1], [1, 0.1], [0.1, 1], [0.9, 0], [0, 0.8]],
        "endless": [[1.0], [float("inf")], [1.0], [1.0], [1.0], [1.0]],
        "ragged": [[1.0], [1.0, 2.0], [1.0], [1.0], [1.0], [1.0]],
    }
)


class TestSpecs:
    @pytest.mark.parametrize(
        ("spec", "expected"),
        [
            (None, None),
            ("level", Columns(["level"])),
            (["level"], Columns(["level"])),
            (["level", "kind"], Columns(["level", "kind"])),
            (("level", "kind"), Columns(["level", "kind"])),
            ({"columns": {"names": ["level"]}}, Columns(["level"])),
            ({"clusters": {"k": 2}}, Clusters(2)),
            ('{"clusters": {"k": 2, "seed": 1}}', Clusters(2, seed=1)),
            ("success_rate", SuccessRate()),
            (["success_rate"], SuccessRate()),
            ({"success_rate": {"bins": 3}}, SuccessRate(bins=3)),
            (SuccessRate(every=2), SuccessRate(every=2)),
            (SuccessRate, SuccessRate()),
        ],
        ids=repr,
    )
    def test_a_column_or_a_source(self, spec: Any, expected: Any) -> None:
        assert make_arms(spec) == expected

    def test_all_sources(self) -> None:
        assert list(ARMS.built_in) == ["columns", "clusters", "success_rate"]
        assert [cls.estimated for cls in ARMS.built_in.values()] == [False, False, True]

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ([], r"names=\[\] of columns: arms need at least one column"),
            ([3], "The arm source 3 is not a name, or"),
            (["level", 3], r"names=\['level', 3\] of columns must be list\[str\]"),
            ({"columns": {"names": []}}, "arms need at least one column"),
            ({"columns": {}}, "Arm source 'columns' needs the option 'names'"),
            ({"clusters": {}}, "Arm source 'clusters' needs the option 'k'"),
            ({"clusters": {"k": 1}}, "k=1 of clusters must be at least 2"),
            ({"success_rate": {"bins": 1}}, "bins=1 of success_rate must be at least 2"),
            ({"success_rate": {"every": 0}}, "every=0 of success_rate must be at least 1"),
            ({"succes_rate": {}}, r"Unknown arm source 'succes_rate' \(did you mean 'success_rate'\?\)"),
        ],
        ids=repr,
    )
    def test_mistakes(self, spec: Any, words: str) -> None:
        with pytest.raises((ValueError, TypeError), match=words):
            make_arms(spec)


class TestColumns:
    def test_one_and_several(self) -> None:
        one, joint = Pool.from_dataset(DATA, "level"), Pool.from_dataset(DATA, ["level", "kind"])
        assert one.arm_names == ("1", "2", "10") and one.arm.tolist() == [1, 2, 1, 0, 0, 2]
        assert joint.arm_names == ("1/x", "2/x", "2/y", "10/y") and joint.arm.tolist() == [1, 3, 2, 0, 0, 3]
        assert (
            one.estimated is None and Pool.from_dataset(DATA, {"columns": {"names": ["level"]}}).digest == one.digest
        )


class TestClusters:
    @pytest.mark.parametrize("source", [Clusters(2), Clusters(2, "vector")], ids=["words", "vectors"])
    def test_rows_that_are_alike_share_an_arm(self, source: Clusters) -> None:
        pool = Pool.from_dataset(DATA, source)
        assert pool.arm_names == ("cluster 0", "cluster 1")
        if source.column is not None:  # six rows of three words are too few to be sure
            assert pool.arm.tolist() in ([0, 1] * 3, [1, 0] * 3)
        again = Pool.from_dataset(DATA, source)
        assert again.digest == pool.digest, "the same seed makes the same clusters"

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            (Clusters(7, "vector"), "7 clusters of 6 rows: take between 1 and the number of rows"),
            (Clusters(2, "vectors"), "arms: clusters: column 'vectors' .did you mean 'vector'.* is not a column"),
            (Clusters(2, "level"), "column='level' of clusters does not hold finite vectors of one length"),
            (Clusters(2, "ragged"), "column='ragged' of clusters does not hold finite vectors of one length"),
            (Clusters(2, "endless"), "column='endless' of clusters does not hold finite vectors of one length"),
            (Clusters(2, "kind"), "column='kind' of clusters does not hold finite vectors of one length"),
        ],
        ids=repr,
    )
    def test_mistakes(self, source: Clusters, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            Pool.from_dataset(DATA, source)


class TestSuccessRate:
    def test_a_pool_keeps_the_source_and_has_no_arms_of_its_own(self) -> None:
        pool = Pool.from_dataset(DATA, {"success_rate": {"bins": 2, "every": 1}})
        assert pool.estimated == SuccessRate(2, 1) and pool.n_arms == 1
        sec = SEC().bind(pool)
        assert sec.arm_names == ("untried", "0-0.5", "0.5-1")
        draw = sec.select(6)
        assert (draw.arm == 0).all()
        sec.observe(from_rewards(draw, np.repeat(draw.row % 2, 2).astype(float), 2))
        assert sec.arms.arm.tolist() == [1, 2, 1, 2, 1, 2]

    def test_arms_that_are_given_are_not_estimated(self) -> None:
        with pytest.raises(ValueError, match="The pool has 2 arms already: leave `arms: success_rate` or them out"):
            Pool(2, [0, 1], ["a", "b"], estimated=SuccessRate())

    @pytest.mark.parametrize("variant", [name for name in VARIANTS if not name.endswith("weights")])
    def test_only_who_learns_about_arms_takes_them(self, variant: str) -> None:
        pool = Pool(12, difficulty=np.arange(12.0), estimated=SuccessRate())
        method = getattr(VARIANTS[variant].method, "wrapped", VARIANTS[variant].method)
        if isinstance(method, ArmMethod):
            assert len(run(VARIANTS[variant].method.bind(pool), 3, np.full(12, 0.5))) == 3
            return
        name = method.name
        words = f"arms='success_rate' are estimated while training, which has no effect on curriculum '{name}'"
        with pytest.raises(ValueError, match=words):
            VARIANTS[variant].method.bind(pool)

    def test_they_stay_what_they_are_when_rows_come_and_go(self) -> None:
        hashes = np.arange(10, dtype=np.uint64)
        pools = [
            Pool(len(rows), row_hash=hashes[rows], estimated=SuccessRate(4, 1)) for rows in (np.r_[0:8], np.r_[4:10])
        ]
        old, new = (SEC(alpha=1.0).bind(pool) for pool in pools)
        run(old, 5, np.linspace(0, 1, 8))
        assert old.belief().mean.any()
        new.load_state_dict(old.state_dict(), carry_over=True)
        assert new.belief().mean.tolist() == old.belief().mean.tolist()
        assert new.arms.arm[:4].tolist() == old.arms.arm[4:].tolist() and new.arms.arm[4:].tolist() == [0, 0]


def test_rows_follow_their_arms_wherever_these_stand() -> None:
    """A text's order and a person's are a cycle of three apart: the place of an arm is not the arm at a place."""
    data = Dataset.from_dict({"level": ["10", "1", "9", "2", "10"]})
    arm, names = Columns(["level"]).label(data)
    assert names == ["1", "2", "9", "10"] and arm.tolist() == [3, 0, 2, 1, 3]
    arm, names = Columns(["level"], order=[9, "10", 1, 2]).label(data)
    assert names == ["9", "10", "1", "2"] and arm.tolist() == [1, 2, 0, 3, 1]


def test_weights_of_a_mixture_are_by_name() -> None:
    pool = Pool(4, arm=[0, 1, 2, 0], arm_names=["1", "b", "c"])
    mixture = Mixture(weights={"c": 5, "b": 2, 1: 1}).bind(pool)
    assert mixture.probabilities().tolist() == [1 / 8, 2 / 8, 5 / 8]  # type: ignore[attr-defined]
    draw = mixture.select(8)
    assert draw.probability.tolist() == [[1 / 16, 2 / 8, 5 / 8][arm] for arm in draw.arm]
    assert draw.arm.tolist() == pool.arm[draw.row].tolist()
