"""Which methods of rollouts and shapers cannot work with a trainer's arguments, or with each other."""

from itertools import pairwise
from typing import Any

from trl import SFTConfig

from ..pool import Pool
from ..records import Stateful
from ..registry import nearest
from ..rollouts import RolloutMethod
from ..rollouts.base import overrides
from ..shaping import Shaper
from ..shaping.base import has


TRLS_CONTROLS = ("entropy_coef", "use_adaptive_entropy")  # of the policy's entropy
DOES = {"temperature": "set the temperature", "branch": "branch rollouts off", "explore": "ask prompts once more"}
OWN = {  # arguments of the user's that have a hand in generating, by the hooks that they would take out of ours
    "temperature": ("rollout_func",),
    "explore": ("rollout_func", "tools", "environment_factory"),
    "branch": ("rollout_func", "tools", "environment_factory"),
    "truncate": ("tools", "environment_factory"),
}


def refuse_unfit(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses methods of rollouts and shapers that cannot work with the trainer's arguments, or with each other."""
    trainer = "SFT" if isinstance(args, SFTConfig) else "GRPO"
    both: tuple[tuple[str, tuple[Any, ...]], ...] = (("rollout method", methods), ("shaper", shapers))
    for family, chosen in both:
        names = [method.name for method in chosen]
        for method in chosen:
            if names.count(method.name) > 1:
                raise ValueError(f"The {family} {method.name!r} is given twice: leave one out.")
            if trainer not in method.trainers:
                raise ValueError(
                    f"The {family} {method.name!r} is for {', '.join(method.trainers)}: leave it out of {trainer}."
                )
            method.refuse(args)
    refuse_clashing(methods)
    refuse_two_makers(methods, args)
    refuse_unshapable(shapers, args)
    refuse_at_odds(methods, shapers)
    refuse_unmoved(methods, shapers, args)


def refuse_clashing(methods: tuple[RolloutMethod, ...]) -> None:
    """Refuses rollout methods that would each decide what a batch consists of."""
    shares, keeps, stores = (
        [method.name for method in methods if getattr(type(method), hook) is not getattr(RolloutMethod, hook)]
        for hook in ("share", "keep", "remember")
    )
    if len(stores) > 1:
        raise ValueError(f"{' and '.join(stores)} would replay rollouts in the same places: leave one out.")
    if shares and (len(shares) > 1 or keeps):
        raise ValueError(
            f"{' and '.join([*shares, *keeps])} would each decide which rollouts a batch consists of: leave one out."
        )
    cuts = [method.name for method in methods if overrides(method, "truncate")]
    if shares and cuts:  # whose beliefs about rows would be made of what is left
        raise ValueError(f"{shares[0]} and {cuts[0]} were not tried together: leave one out.")


def refuse_two_makers(methods: tuple[RolloutMethod, ...], args: Any) -> None:
    """Refuses methods of rollouts that would both decide the same, or draw groups that another cannot make."""
    for hook in DOES:
        names = [method.name for method in methods if overrides(method, hook)]
        if len(names) > 1:
            raise ValueError(f"The rollout methods {names[0]!r} and {names[1]!r} both {DOES[hook]}: leave one out.")
        if hook == "explore" and names:
            for other in ("branch", "remember", "share"):
                if untried := [method.name for method in methods if overrides(method, other)]:
                    raise ValueError(f"{names[0]} and {untried[0]} were not tried together: leave one out.")
        if hook == "branch" and names and getattr(args, "world_size", 1) > 1:
            for method in methods:
                if overrides(method, "keep"):
                    raise ValueError(
                        f"{method.name} draws any number of groups anew, which {args.world_size} processes share, and "
                        f"{names[0]} needs whole groups on each: leave one out, or train on one process."
                    )


def refuse_own_generation(methods: tuple[RolloutMethod, ...], given: dict[str, Any]) -> None:
    """Refuses methods of rollouts beside functions of the user's that generate, or have a part in it."""
    for method in methods:
        for hook, names in OWN.items():
            taken = next((name for name in names if given.get(name)), None)
            if taken is not None and overrides(method, hook):
                raise ValueError(
                    f"The rollout method {method.name!r} works on completions that TRL generates in one piece, and "
                    f"{taken} is given: leave one out."
                )


def refuse_unshapable(shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses shapers that do not go together, or whose hooks the arguments leave without effect."""
    for before, shaper in pairwise(shapers):
        if shaper.replaces:
            raise ValueError(
                f"The advantages of {shaper.name!r} do not depend on those that it is given: name it first, before "
                f"{before.name!r}, and no second of its kind."
            )
    added = [shaper.name for shaper in shapers if has(shaper.bind(Pool(1), 0), "reward")]
    for shaper in shapers:
        if shaper.replaces and added:
            raise ValueError(
                f"The advantages of {shaper.name!r} are made of the rewards as they are, so that what "
                f"{added[0]!r} adds to them has no effect: leave one out."
            )
        if shaper.name in added and getattr(args, "multi_objective_aggregation", "") == "normalize_then_sum":
            raise ValueError(
                f"The shaper {shaper.name!r} adds to the sum of the rewards, which multi_objective_aggregation="
                "'normalize_then_sum' never makes: use 'sum_then_normalize'."
            )
    refuse_two_controls(shapers, args)
    if shapers and getattr(args, "label_smoothing_factor", 0) > 0:
        raise ValueError(
            f"label_smoothing_factor={args.label_smoothing_factor} makes a loss in which tokens cannot be weighed: "
            "leave it out, or the shaping."
        )


def refuse_at_odds(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...]) -> None:
    """Refuses a rollout method beside a shaper that steers the same as it, or whose effect it undoes."""
    for method in methods:
        for shaper in shapers:
            if overrides(method, "explore") and shaper.steers_entropy:
                raise ValueError(
                    f"{method.name} and {shaper.name} would both control the entropy: leave one of them out."
                )
            for hook, what in shaper.undone_by.items():
                if overrides(method, hook):
                    raise ValueError(f"{method.name} {what.format(shaper.name)}: leave one out.")


def refuse_unmoved(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses shapers of tokens that have moved since they were generated, where none has."""
    older = any(overrides(method, "remember") or method.carries() for method in methods)
    for shaper in shapers:
        if not shaper.needs_older or older:
            continue
        per_update, per_generation = args.gradient_accumulation_steps, args.steps_per_generation
        if per_update % (per_generation * args.num_iterations) == 0:
            raise ValueError(
                f"{shaper.name} acts on tokens that have moved since they were generated, and with "
                f"steps_per_generation={per_generation} and gradient_accumulation_steps={per_update} a generation is "
                "trained on before they do: make steps_per_generation a multiple of it, set num_iterations=2, or "
                "replay: rollouts: [replay]."
            )


def refuse_unstreamable(methods: tuple[RolloutMethod, ...], shapers: tuple[Shaper, ...]) -> None:
    """Refuses what needs to read a row twice, or to meet it twice, beside streams."""
    for method in methods:
        if overrides(method, "explore"):
            raise ValueError(
                f"{method.name} asks prompts once more, and a row of a stream is gone once it was read: leave it out, "
                "or load the rows without streaming."
            )
    bound: list[tuple[str, Any]] = [(method.name, method.share(1, 1)) for method in methods]
    bound += [(shaper.name, shaper.bind(Pool(1), 0)) for shaper in shapers]
    for name, one in bound:
        if isinstance(one, Stateful) and any(declared.kind == "row" for declared in one.declared().values()):
            raise ValueError(
                f"{name} remembers something of every row, and rows of streams come once: leave it out, or load them "
                "without streaming."
            )


def refuse_two_controls(shapers: tuple[Shaper, ...], args: Any) -> None:
    """Refuses what would raise and lower one entropy at once: several shapers that steer it, or one beside TRL's."""
    steering = [shaper.name for shaper in shapers if shaper.steers_entropy]
    trls = [f"{name}={value}" for name in TRLS_CONTROLS if (value := getattr(args, name, None))]
    if steering and len(steering + trls) > 1:
        raise ValueError(
            f"{' and '.join((steering + trls)[:2])} would both control the entropy: leave one of them out."
        )


def refuse_own_loss(shapers: tuple[Shaper, ...], compute_loss_func: Any) -> None:
    """Refuses shapers in SFT beside a loss function of the user's."""
    if shapers and compute_loss_func is not None:
        raise ValueError(
            "compute_loss_func makes a loss in which tokens cannot be weighed: leave it out, or the shaping."
        )


def refuse_unknown_outcome(methods: tuple[Any, ...], reward_names: list[str]) -> None:
    """Refuses a method whose option `outcome` names no reward function."""
    for method in methods:
        name = getattr(method, "outcome", None)
        if name is not None and name not in reward_names:
            raise ValueError(
                f"{method.name} decides by outcome={name!r}, which is no reward function"
                f"{nearest(name, reward_names)}: choose one of {', '.join(reward_names)}."
            )
        if name is not None and reward_names.count(name) > 1:
            raise ValueError(
                f"{method.name} decides by outcome={name!r}, and {reward_names.count(name)} reward functions have "
                "this name: give them names of their own (__name__)."
            )
