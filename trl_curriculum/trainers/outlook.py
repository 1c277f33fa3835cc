"""What a run is going to do, as far as its curriculum says it beforehand: refused, warned of, printed."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from ..curricula.outlook import Outlook
from ..data.names import counts, listed, shown
from .bundled import bundle_line
from .probe_cost import plural, probe_cost
from .sizes import Run


logger = logging.getLogger(__name__)

FEW = 12  # arms that are printed
GIVE_ARMS = "arms: COLUMN, or arms: {success_rate: {bins: 5}} for rows by how often they are solved"
GIVE_ORDER = "another order is arms: {columns: {names: [%s], order: [...]}}"


# Refused, and warned of


def refuse_one_arm(curriculum: Any, args: Any) -> None:
    """Refuses a curriculum that chooses among arms where there is one."""
    pool, method, outlook = curriculum.pool, curriculum.method, curriculum.outlook(None, None)
    if not outlook.by_arm or pool.n_arms > 1:
        return
    one = shown(pool.arm_names[0])
    why = "there are no arms" if args.arms is None else f"arms {title(args)} has one value, {one!r}"
    give = GIVE_ARMS if curriculum.takes_estimated_arms else "arms: COLUMN"
    give += f", or {outlook.remedy}" if outlook.remedy else ""
    raise ValueError(
        f"Curriculum {method.name!r} chooses among arms, and {why}, so that it would draw as 'uniform' does: give "
        f"{give}; or take curriculum: uniform."
    )


def is_late(outlook: Outlook, run: Run) -> bool:
    """Whether a curriculum would choose by what it has seen only after the last step."""
    return outlook.acts_at is not None and run.batches is not None and outlook.acts_at > run.batches


def refuse_powerless(curriculum: Any, outlook: Outlook, run: Run) -> None:
    """Refuses a curriculum that would choose by what it has seen only after the last step, where that is certain."""
    if is_late(outlook, run) and run.exact and not run.trial:
        raise ValueError(
            f"Curriculum {curriculum.name!r} could not follow what it sees: {_late(outlook, run)}; {outlook.remedy}, "
            "or take curriculum: uniform."
        )


def warn_of_odd(curriculum: Any, outlook: Outlook, run: Run, args: Any) -> None:
    """Warns of what is allowed and hardly meant, a sentence each."""
    name, pool = curriculum.method.name, curriculum.pool
    for sentence in outlook.odd:
        logger.warning("Curriculum %r: %s.", name, sentence)
    if is_late(outlook, run) and (run.trial or not run.exact):
        logger.warning("Curriculum %r: %s: it will draw blindly; %s.", name, _late(outlook, run), outlook.remedy)
    learns = outlook.by_arm or curriculum.method.follows or pool.estimated is not None
    group = getattr(args, "num_generations", None)
    if run.rows == 1 and group is not None and learns:
        logger.warning(
            "One prompt a step: %d rollouts in groups of num_generations=%d are one prompt, so that curriculum %r "
            "sees one row at a time; raise per_device_train_batch_size, gradient_accumulation_steps or "
            "steps_per_generation.",
            *(group, group, name),
        )


def _late(outlook: Outlook, run: Run) -> str:
    event = outlook.event or "regrouping of arms"
    at = run.step(outlook.acts_at or 1)
    return f"its first {event} that has an effect would come before step {at}, and the run has {run.steps}"


# Printed


def title(args: Any) -> str:
    """Where arms come from, in words."""
    source = args.arm_source
    if source is None:
        return "one"
    return " x ".join(map(shown, source.names)) if source.name == "columns" else source.name


def _spelled(name: str, method: Any) -> str:
    options = ", ".join(f"{option}={shown(value, 80)}" for option, value in method.options.items())
    return f"{name} ({options})"


def block(
    curriculum: Any,
    outlook: Outlook,
    run: Run,
    args: Any,
    left_out: int | None = None,
    held_out: Any = None,
    more: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """
    What the curriculum can do in this run, as lines by their names.

    Args:
        curriculum ([`~trl_curriculum.curricula.Curriculum`]):
            Over its pool.
        outlook ([`~trl_curriculum.curricula.outlook.Outlook`]):
            What it says of itself.
        run ([`Run`]):
            Sizes.
        args ([`CurriculumConfig`]):
            The run's arguments.
        left_out (`int`, *optional*):
            Rows of the dataset that cannot be trained on, where that was looked at.
        held_out (`Dataset` or `dict[str, Dataset]`, *optional*):
            Rows that are evaluated on.
        more (`Mapping[str, str]`, *optional*):
            Lines on what the trainer has found out about the rows.
    """
    method, pool = curriculum.method, curriculum.pool
    sets = held_out if isinstance(held_out, dict) else {} if held_out is None else {"all": held_out}
    without = "" if left_out is None else f"{left_out:,} left out, "
    made = {
        "rows": f"{_rows(pool)}, {without}{sum(map(len, sets.values())):,} held out",
        "arms": f"{'streams' if pool.is_stream else title(args)}: {_arms(curriculum)}",
        **bundle_line(args),
        "curriculum": _spelled(curriculum.name, method),
        "signal": f"{method.signal}; extra cost: {method.cost}",
    }
    for family, beside in (("rollouts", args.rollout_methods), ("shaping", args.shapers)):
        if beside:
            made[family] = ", ".join(_spelled(one.name, one) for one in beside)
    if outlook.in_order and pool.n_arms > 1:
        made["order"] = _order(pool.arm_names, args)
    if (spread := _spread(curriculum, outlook, run)) is not None:
        made["spread"] = spread
    if outlook.event or outlook.acts_at:
        made["acts"] = _acts(outlook, run)
    if outlook.tau is not None:
        made["odds"] = _odds(outlook, run)
    if method.probe is not None and outlook.probes:
        made["probe"] = probe_cost(method, outlook, args)
    return made | dict(more or {})


def _rows(pool: Any) -> str:
    return "read from streams as they are drawn" if pool.is_stream else f"{pool.size:,} to train on"


def _arms(curriculum: Any) -> str:
    pool = curriculum.pool
    if pool.estimated is not None or pool.is_stream:
        return listed(curriculum.arm_names, FEW)
    named = zip(pool.arm_names, pool.arm_size, strict=True)
    return listed((f"{shown(name, 30)} ({size:,})" for name, size in named), FEW)


def _order(names: tuple[str, ...], args: Any) -> str:
    text, source = listed(names, FEW, " → "), args.arm_source
    if source is None or source.name != "columns":
        return text
    if source.order is not None:
        return f"{text} (as given)"
    by = "numbers" if counts(names) else "the alphabet"
    return f"{text} (by {by}; {GIVE_ORDER % ', '.join(map(shown, source.names))})"


def _spread(curriculum: Any, outlook: Outlook, run: Run) -> str | None:
    if not (outlook.by_arm or curriculum.pool.estimated) or run.rows is None:
        return None
    n = len(curriculum.arm_names)
    what, when = ("prompts", "generation") if run.of_prompts else ("rows", "step")
    whole = "" if run.batches is None else f", {run.batches * run.rows / n:,.1f} in the run"
    return f"{run.rows / n:.2g} {what} an arm and {when} (of {run.rows:,}){whole}, were all arms drawn alike"


def _acts(outlook: Outlook, run: Run) -> str:
    about = "" if run.exact else "about "
    of = "" if run.steps is None else f" of {about}{run.steps:,}"
    if not outlook.event:
        return f"arms regrouped first before step {run.step(outlook.acts_at or 1):,}{of}"
    if not outlook.events:
        if outlook.acts_at is None:
            return f"first {outlook.event} not known before rows are counted"
        never = f": never in this run; {outlook.remedy}" if is_late(outlook, run) else ""
        return f"first {outlook.event} at step {about}{run.step(outlook.acts_at):,}{of}{never}"
    steps = [run.step(batch) for batch in outlook.events]
    text = f"first {outlook.event} at step {about}{steps[0]:,}{of}"
    if len(steps) > 1:
        text += f"; {plural(outlook.event)} at {listed(map('{:,}'.format, steps), 5)}"
    if outlook.acts_at is not None and outlook.acts_at > outlook.events[0]:
        when = f"never; {outlook.remedy}" if is_late(outlook, run) else f"from step {run.step(outlook.acts_at):,} on"
        text += f"; it follows what it sees {when}"
    return text


def _odds(outlook: Outlook, run: Run) -> str:
    assert outlook.tau is not None
    if run.largest is None:
        return f"between arms at most exp(difference of mean |A| / {outlook.tau:g}) : 1, in the rewards' own unit"
    exponent = run.largest / outlook.tau
    most = f"{math.exp(exponent):,.3g}" if exponent < 15 else f"10^{exponent / math.log(10):.0f}"
    bonus = ", besides the bonus of arms that were rarely drawn" if outlook.bonus else ""
    return f"between arms at most {most} : 1 at tau={outlook.tau:g}, as mean |A| is at most {run.largest:.2f}{bonus}"
