"""The simulated learner learns as its formulas say."""

import numpy as np
import pytest

from trl_curriculum.evaluation.learner import OTHERS, WORST, Learner
from trl_curriculum.evaluation.worlds import WORLDS, Kind, World


ALONE = World(arms=1, rows=1, easiest=2.0, spread=0.0, same_arm=0.0, neighbours=0.0, loss_noise=0.0)
KINDS = World(arms=2, rows=40, impossible=0.2, coin_flip=0.1, wrong_gold=0.2, wrong_gold_pays=0.5, loss_noise=0.0)


def learner(world: World, sft: bool = False, seed: int = 0) -> Learner:
    return Learner(world, world.make(seed), sft)


def test_in_grpo_an_ability_follows_the_closed_form() -> None:
    """x + sinh x grows by twice the rate with each draw, from far below the difficulty to far above."""
    one = learner(ALONE.but(rate=0.005))
    for n in range(1, 4001):
        one.practise(np.array([0]))
        if n % 500 == 0:
            x = one.ability[0] - 2
            assert x + np.sinh(x) == pytest.approx(-2 + np.sinh(-2) + 2 * 0.005 * n, rel=0.01, abs=0.02), n
    assert one.ability[0] - 2 > 3 and one.ability[1] == 0  # the one that is held out


def test_in_sft_an_ability_follows_the_closed_form() -> None:
    one = learner(ALONE.but(rate=0.005), sft=True)
    for n in range(1, 4001):
        one.practise(np.array([0]))
        if n % 500 == 0:
            x = one.ability[0] - 2
            assert x + np.exp(x) == pytest.approx(-2 + np.exp(-2) + 0.005 * n, rel=0.01, abs=0.02), n
    assert one.ability[0] - 2 > 2


def test_a_row_drawn_twice_in_a_batch_gains_twice() -> None:
    one, other = learner(ALONE), learner(ALONE)
    one.practise(np.array([0, 0]))
    other.practise(np.array([0]))
    assert one.ability[0] == 2 * other.ability[0] > 0


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_a_draw_climbs_what_the_row_pays(noise: float) -> None:
    """4 times the rate times the slope of the rate of rewards, noise included, over the ability."""
    one, up = learner(KINDS.but(reward_noise=noise)), 1e-5
    before, slope = one.pays(), one.slope()
    one.ability += up
    numeric = 4 * KINDS.rate * (1 - 2 * noise) * (one.pays() - before) / up
    assert slope == pytest.approx(numeric, abs=1e-4)
    kind = one.rows.kind
    assert (slope[kind == Kind.LEARNABLE] > 0).all() and (slope[kind == Kind.WRONG_GOLD] < 0).all()
    assert (slope[(kind == Kind.COIN_FLIP) | (kind == Kind.IMPOSSIBLE)] == 0).all()
    assert slope.max() <= KINDS.rate


def test_in_sft_a_draw_climbs_the_likelihood() -> None:
    one, up, everyone = learner(KINDS, sft=True), 1e-5, np.arange(80)
    before, slope = one.losses(everyone, np.random.default_rng(0)), one.slope()
    one.ability += up
    numeric = -KINDS.rate * (one.losses(everyone, np.random.default_rng(0)) - before) / up
    assert slope[:80] == pytest.approx(numeric, abs=1e-4)


def test_a_gain_reaches_the_arm_and_its_neighbours_and_nobody_else() -> None:
    world = World(arms=4, rows=3, same_arm=0.2, neighbours=0.05)
    one = learner(world)
    gain = one.slope()[4]  # the second row of the second arm
    one.practise(np.array([4]))
    expected = np.array([0.05, 0.2, 0.05, 0.0])[one.rows.arm]
    expected[4] = 1
    assert one.ability == pytest.approx(gain * expected)
    assert sorted(one.rows.arm[one.rows.held_out]) == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]


def test_what_is_not_practised_is_forgotten_at_a_constant_rate() -> None:
    one = learner(World(arms=1, rows=2, forgetting=0.1, same_arm=0.0, neighbours=0.0))
    one.ability[:] = 3.0
    slope = one.slope()[0]
    one.practise(np.array([0]))
    assert one.ability == pytest.approx([3 + slope, 2.7, 2.7, 2.7])
    for _ in range(9):
        one.practise(np.array([0]))
    assert one.ability[1:] == pytest.approx(3 * 0.9**10)


def test_behind_a_plateau_nothing_is_learned_until_the_arm_before_is_there() -> None:
    one = learner(World(arms=3, rows=4, easiest=0.0, spread=0.0, plateau=0.7, same_arm=0.5, neighbours=0.3))
    everyone = np.arange(12)
    assert one.locked().tolist() == (one.rows.arm > 0).tolist()
    one.practise(everyone)
    assert (one.ability[one.rows.arm > 0] == 0).all() and (one.ability[one.rows.arm == 0] > 0).all()
    one.ability[one.rows.arm == 0] = one.difficulty[0] + np.log(0.7 / 0.3) + 1e-9
    assert one.locked().tolist() == (one.rows.arm > 1).tolist()
    one.ability[one.rows.arm == 1] = 9.0  # it does not count while the arm before is not there
    one.ability[one.rows.arm == 0] = one.difficulty[0]
    assert one.locked().tolist() == (one.rows.arm > 0).tolist()


def test_a_shift_makes_the_easier_half_harder() -> None:
    world = World(arms=4, shift_at=0.5, shift=2.0)
    one = learner(world)
    before = one.difficulty.copy()
    one.shift()
    assert one.difficulty - before == pytest.approx(2.0 * (one.rows.arm < 2))
    assert (one.rows.difficulty == before).all(), "the rows of a world stay what they are"
    assert world.shifts_at(160) == 80 and World().shifts_at(160) == 0


@pytest.mark.parametrize("generations", [2, 4, 8])
def test_a_coin_pays_all_or_none_of_a_group_as_seldom_as_coins_do(generations: int) -> None:
    one, n = learner(KINDS), 20_000
    coins = np.flatnonzero(one.rows.kind == Kind.COIN_FLIP)
    drawn = np.random.default_rng(1).choice(coins, n)
    groups = one.rewards(drawn, generations, np.random.default_rng(0)).reshape(n, generations)
    equal = (groups == groups[:, :1]).all(axis=1).mean()
    p = 2 * 0.5**generations
    assert equal == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n))


def test_rewards_come_at_the_rate_that_a_row_pays() -> None:
    one, n = learner(KINDS.but(reward_noise=0.1)), 40_000
    for kind in Kind:
        row = np.flatnonzero(one.rows.kind == kind)[:1]
        (p,) = one.success()[row]
        pays = {Kind.LEARNABLE: p, Kind.IMPOSSIBLE: 0, Kind.COIN_FLIP: 0.5, Kind.WRONG_GOLD: 0.5 * (1 - p)}[kind]
        rate = 0.9 * pays + 0.1 * (1 - pays)
        mean = one.rewards(row, n, np.random.default_rng(0)).mean()
        assert mean == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / n)), kind.name
    assert not learner(KINDS).rewards(np.flatnonzero(one.rows.kind == Kind.IMPOSSIBLE), 64, one_stream()).any()


def one_stream() -> np.random.Generator:
    return np.random.default_rng(0)


def test_losses_and_entropies_are_those_of_the_success_rate() -> None:
    one = learner(KINDS)
    rows, kind, p = np.arange(80), one.rows.kind[:80], one.success()[:80]
    loss, entropy = one.losses(rows, one_stream()), one.entropies(rows, one_stream())
    assert loss[kind == Kind.LEARNABLE] == pytest.approx(-np.log(p[kind == Kind.LEARNABLE]))
    assert loss[kind == Kind.WRONG_GOLD] == pytest.approx(-np.log(1 - p[kind == Kind.WRONG_GOLD]))
    assert loss[kind == Kind.COIN_FLIP] == pytest.approx(np.log(2)) and (loss[kind == Kind.IMPOSSIBLE] == WORST).all()
    assert entropy[kind == Kind.IMPOSSIBLE] == pytest.approx(np.log(OTHERS))
    one.ability = one.difficulty - np.log(OTHERS)  # as likely as each of the others: the largest entropy there is
    assert one.entropies(rows, one_stream())[kind == Kind.LEARNABLE] == pytest.approx(np.log(OTHERS + 1))
    noisy = learner(KINDS.but(loss_noise=0.3))
    ratio = np.log(noisy.losses(np.repeat(rows, 200), one_stream()) / np.repeat(loss, 200))
    assert ratio.std() == pytest.approx(0.3, rel=0.03) and abs(ratio.mean()) < 0.01


def test_a_world_holds_the_rows_that_it_says() -> None:
    rows = World(
        arms=2, rows=20, impossible=0.1, coin_flip=0.2, wrong_gold=0.3, impossible_arms=1, coin_flip_arms=2, copies=3
    ).make(0)
    pool = rows.pool()
    assert pool.arm_size.tolist() == [60, 20, 20, 20, 20] and pool.size == len(rows.item) == 140
    for arm, counts in ((0, [8, 2, 4, 6]), (1, [8, 2, 4, 6]), (2, [0, 20, 0, 0]), (3, [0, 0, 20, 0])):
        of_arm = rows.kind[(rows.arm == arm) & ~rows.held_out]
        assert np.bincount(of_arm, minlength=4).tolist() == counts
    held = rows.held_out
    assert held.sum() == 16 and (rows.kind[held] == Kind.LEARNABLE).all() and not held[rows.item].any()
    assert np.bincount(rows.item).tolist() == [3] * 20 + [1] * 80
    assert (rows.arm[rows.item] == pool.arm).all()
    other = WORLDS["ladder"].make(1)
    assert (other.difficulty == WORLDS["ladder"].make(1).difficulty).all()
    assert (other.difficulty != WORLDS["ladder"].make(2).difficulty).all()
    error = (other.label - other.difficulty[other.item]).std()
    assert error == pytest.approx(0.5, rel=0.2)


def test_copies_are_learned_together() -> None:
    one = learner(World(arms=1, rows=2, copies=2, same_arm=0.0, neighbours=0.0))
    twin = int(np.flatnonzero(one.rows.item == 0)[1])
    slope = one.slope()[0]
    one.practise(np.array([0, twin]))
    assert one.ability.tolist() == pytest.approx([2 * slope, 0, 0, 0])


def test_a_world_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rate=0 of a world must be above 0"):
        World(rate=0)
    with pytest.raises(ValueError, match=r"impossible=0.5, coin_flip=0.3 and wrong_gold=0.2 leave no rows"):
        World(impossible=0.5, coin_flip=0.3, wrong_gold=0.2)
    with pytest.raises(ValueError, match=r"shift=0.0 and shift_at=0.5 of a world belong together"):
        World(shift_at=0.5)
    assert World(rate=0.1) == World().but(rate=0.1) != World()
