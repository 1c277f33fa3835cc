"""Fills a generation batch in several tries."""

import logging
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..curricula import Draw
from ..disk.state import StateError
from ..records import PoolMapping
from ..rollouts import RolloutMethod
from ..rollouts.made import Made
from ..rollouts.sharing import merged
from ..signals import BoolArray, FloatArray, IntArray, Rollouts
from .carrying import Carried, fitting, say_dropped
from .conductor import Conductor
from .joining import Output, joined, refuse_unknown, trimmed, wide
from .replaying import Replaying
from .shaping import OLD_LOGPS, refuse_changed


logger = logging.getLogger(__name__)

DISCARDED = "discarded_tokens"  # of completions that were generated and not trained on
BARREN = 10  # batches without a group that is kept, after which a pool looks hopeless


class Refilling:
    """
    Generates until a batch has as many groups as it needs that all rollout methods keep, and asks their other hooks.

    Args:
        methods (`tuple` of [`RolloutMethod`]):
            Those that say which groups are kept, how many tries there are, what becomes of groups left over, how a
            batch is shared out among rows, and what is replayed.
        trainer ([`~trl.GRPOTrainer`]):
            Its `accelerator`, `args`, `model` and `processing_class`.
    """

    def __init__(self, methods: tuple[RolloutMethod, ...], trainer: Any) -> None:
        self.methods, self.trainer = methods, trainer
        self.carried: Carried | None = None
        given = (method.share(trainer.pool.size, trainer.args.num_generations) for method in methods)
        self.sharing = {m.name: one for m, one in zip(methods, given, strict=True) if one is not None}
        memories = {method.name: method.remember() for method in methods}
        self.replaying = {name: Replaying(one, trainer) for name, one in memories.items() if one is not None}
        self._has_logps = False  # whether TRL gives those of fresh rollouts
        self.cut_tokens = 0  # of completions of this batch, by methods that truncate them
        self._weight: float | FloatArray = 1.0
        self._older = 0, 0  # rollouts that the batch begins with and were carried over, and the step that made them
        self._barren: list[tuple[int, float]] = []  # groups and mean reward of batches of which none was kept
        self._since_log: dict[str, list[float]] = defaultdict(list)

    def generate(self, attempt: Callable[[int], tuple[Output, Rollouts]], n: int) -> tuple[Output, Rollouts]:
        """
        Returns a batch of `n` groups.

        Args:
            attempt:
                Draws so many rows, generates, scores, and shows the curriculum what came of them; returns the outputs
                of this process and the rollouts of all.
            n (`int`):
                Groups that the batch needs.
        """
        if not self.methods:
            return attempt(n)
        output, rollouts = self._filled(attempt, n)
        return self._merged(output, rollouts) if self.sharing else (output, rollouts)

    def draw(self, conductor: Conductor, n: int) -> Draw:
        """Rows for `n` groups, of which some have several where a method shares them out."""
        for one in self.sharing.values():
            draw = conductor.draw(one.rows(n))
            return conductor.repeat(draw, one.times(draw.row, n))
        return conductor.draw(n)

    def finish(self, output: Output, rollouts: Rollouts) -> None:
        """What follows shaping: scales advantages, and replays stored rollouts in place of those that have none."""
        self.weigh(output)
        count, step = self._older
        made = np.where(np.arange(len(rollouts)) < count, step, self.trainer.state.global_step)
        for one in self.replaying.values():
            replaced, stored = one.replay(output, rollouts, made, self._has_logps)
            self._since_log["frac_replayed"].append(replaced)
            self._since_log["stored"].append(stored)

    def weigh(self, output: Output) -> None:
        """Scales the advantages of the last batch, which were shaped, as the methods say."""
        if isinstance(self._weight, np.ndarray):
            output["advantages"] = output["advantages"] * self._of_this_process(self._weight).to(output["advantages"])
        elif self._weight != 1:
            output["advantages"] = output["advantages"] * self._weight

    def _merged(self, output: Output, rollouts: Rollouts) -> tuple[Output, Rollouts]:
        for one in self.sharing.values():
            one.observe(rollouts)
        groups, weight = merged(rollouts)
        self._weight = self._weight * weight
        count = np.bincount(np.unique(groups.row, return_inverse=True)[1])
        self._since_log["rows"].append(len(count))
        self._since_log["most_rollouts"].append(count.max())
        return output | {"advantages": self._of_this_process(groups.advantage).to(output["advantages"])}, groups

    def _of_this_process(self, value: np.ndarray) -> torch.Tensor:
        accelerator = self.trainer.accelerator
        return torch.as_tensor(np.split(value, accelerator.num_processes)[accelerator.process_index])

    def _filled(self, attempt: Callable[[int], tuple[Output, Rollouts]], n: int) -> tuple[Output, Rollouts]:
        size = self.trainer.args.num_generations
        self._older = 0, 0
        self.cut_tokens, self.carried, carried = 0, None, fitting(self.carried, n, size)
        needed = n - (0 if carried is None else len(carried))
        output, rollouts = attempt(self.divisible(needed, size))
        outputs, kept, self._has_logps = [output], self._kept(rollouts), OLD_LOGPS in output
        if carried is not None and {*carried.output} != {*wide(output)}:
            say_dropped(carried, "TRL's rollouts hold other tensors now")
            carried, needed = None, n
        made = self._made(needed, outputs, kept, rollouts)
        while more := self._again(made):
            output, others = attempt(self.divisible(more, size))
            outputs.append(output)
            rollouts, kept = rollouts + others, np.r_[kept, self._kept(others)]
            made = self._made(needed, outputs, kept, rollouts)
        self._weight = math.prod(method.weight(made) for method in self.methods)
        self._watch(made, rollouts)
        if carried is None and len(outputs) == 1:
            self._log(made, rollouts, kept, n, self.cut_tokens)
            return outputs[0], rollouts
        every = rollouts if carried is None else carried.before(rollouts)
        if carried is not None:
            self._older = len(carried.rollouts), carried.rollouts.step
        good = np.r_[np.ones(n - needed, dtype=bool), kept]
        order = np.argsort(~good, kind="stable")  # kept groups, then others, as they were drawn
        chosen, left = (_rollouts_of(np.sort(part), size) for part in (order[:n], order[n : good.sum()]))
        if not any(method.carries() for method in self.methods):
            left = left[:0]
        discarded = int(every.length.sum() - every.length[np.r_[chosen, left]].sum()) + self.cut_tokens
        self._log(made, rollouts, kept, n, discarded)
        batch = every[chosen]
        if batch.scale == "batch":  # the standard deviation is that of what is trained on
            batch = replace(batch, advantage=batch.advantages_of(batch.reward))
        return self.join(outputs, carried, every, chosen, left, batch.advantage), batch

    def _kept(self, rollouts: Rollouts) -> BoolArray:
        kept = [method.keep(rollouts) for method in self.methods]
        return np.logical_and.reduce(kept)

    def _made(self, needed: int, outputs: list[Output], kept: BoolArray, rollouts: Rollouts) -> Made:
        return Made(needed, len(outputs), len(kept), int(kept.sum()), int(rollouts.length.sum()) + self.cut_tokens)

    def _again(self, made: Made) -> int:
        """Groups to generate: what methods ask for while kept ones are missing, and enough for a whole batch."""
        asked = max(method.again(made) for method in self.methods) if made.missing else 0
        return max(asked, made.needed - made.groups)

    def divisible(self, missing: int, size: int) -> int:
        """Groups that are at least those missing and whose rollouts the processes share equally."""
        world = self.trainer.accelerator.num_processes
        unit = world // math.gcd(world, size)
        return -(-missing // unit) * unit

    def join(
        self,
        outputs: list[Output],
        carried: Carried | None,
        every: Rollouts,
        chosen: IntArray,
        left: IntArray,
        advantage: FloatArray,
    ) -> Output:
        """
        This process's share of the rollouts at `chosen`, of those that were carried over and of all tries and
        processes, with their advantages; those at `left` are carried on.
        """
        for output in outputs:
            refuse_unknown(output)
        if carried is not None:
            outputs = [wide(output) for output in outputs]
        whole = joined([] if carried is None else [carried.output], outputs, self.trainer)
        if len(left):
            self.carried = Carried.of(self._at(whole, every, left), every[left], self.trainer)
        share = self._at(whole, every, self._of_this_process(chosen).numpy())
        share["advantages"] = self._of_this_process(advantage).to(share["advantages"])
        mask = share["completion_mask"] * share.get("tool_mask", 1)
        share["num_items_in_batch"] = gather(mask.sum()).sum()
        return share

    def _at(self, whole: Output, every: Rollouts, where: IntArray) -> Output:
        index = torch.as_tensor(where, device=whole["advantages"].device)
        part = {name: value[index] for name, value in whole.items()}
        longest = int(part["prompt_mask"].sum(1).max()), int(every.length[where].max())
        return trimmed(part, *longest, self.trainer.args.pad_to_multiple_of or 1)

    # Log and state

    def _log(self, made: Made, rollouts: Rollouts, kept: BoolArray, n: int, discarded: int) -> None:
        if all(type(method).keep is RolloutMethod.keep for method in self.methods):
            return  # nothing is left out, and nothing refilled
        carries = any(method.carries() for method in self.methods)
        used = made.kept if carries else min(made.kept, made.needed)
        self._since_log["tries"].append(made.tries)
        self._since_log["generated_per_kept"].append(made.groups / max(1, used))
        self._since_log["tokens_per_kept"].append(made.tokens / max(1, used))
        self._since_log["frac_kept"].append(made.kept / made.groups)
        if carries:
            self._since_log["frac_carried"].append((n - made.needed) / n)
        self._since_log["frac_filled_up"].append(made.missing / n)
        self._since_log[DISCARDED].append(discarded)
        is_kept = np.repeat(kept, len(rollouts) // len(kept)) & np.isfinite(rollouts.reward)
        is_dropped = ~is_kept & np.isfinite(rollouts.reward)
        if is_kept.any():
            self._since_log["reward_kept"].append(rollouts.reward[is_kept].mean())
        if is_dropped.any():
            self._since_log["reward_dropped"].append(rollouts.reward[is_dropped].mean())

    def _watch(self, made: Made, rollouts: Rollouts) -> None:
        """Warns once of a pool of which nothing is kept."""
        if made.kept:
            self._barren = []
            return
        seen = rollouts.reward[np.isfinite(rollouts.reward)]
        self._barren.append((made.groups, float(seen.mean()) if len(seen) else math.nan))
        if len(self._barren) == BARREN and self.trainer.accelerator.is_main_process:
            groups, reward = zip(*self._barren, strict=True)
            logger.warning(
                "%s has kept none of the %d groups of the last %d batches, whose mean reward is %.3g, so that the "
                "model learns nothing: give rows that it solves now and then, more rollouts a group "
                "(num_generations), a higher temperature, or a reward that tells rollouts apart.",
                ", ".join(method.name for method in self.methods),
                sum(groups),
                BARREN,
                float(np.mean(reward)),
            )

    def metrics(self) -> dict[str, float]:
        """What was seen since the last call, by the key under which it is logged: means, and a sum of tokens."""
        values = {
            f"rollouts/{name}": float(np.sum(seen) if name == DISCARDED else np.mean(seen))
            for name, seen in self._since_log.items()
        }
        self._since_log.clear()
        return values

    def state_dict(self) -> dict[str, Any]:
        """Which methods there are, what they have learnt, and the groups that wait for the next batch."""
        return {
            "methods": {method.name: method.options for method in self.methods},
            "learnt": {name: one.state_dict() for name, one in self._learners()},
            "carried": None if self.carried is None else self.carried.state_dict(),
        }

    def _learners(self) -> list[tuple[str, Any]]:
        return [*self.sharing.items(), *((name, one.memory) for name, one in self.replaying.items())]

    def save(self, folder: Path) -> None:
        """Saves what this process has stored."""
        for one in self.replaying.values():
            one.save(folder)

    def load_state_dict(
        self, state: dict[str, Any], mapping: PoolMapping | None = None, folder: Path | None = None
    ) -> None:
        """
        Continues from what `state_dict` gave, whose rows `mapping` brings to those of another pool, and from what
        `save` has put into the folder.

        Raises:
            `StateError`: if the methods or their options are others now, or the groups cannot be read.
        """
        if not {"methods", "learnt", "carried"} <= {*state}:
            raise StateError(
                "The checkpoint does not say what its methods of rollouts were and have learnt: it was written by "
                "another version, or is damaged."
            )
        refuse_changed("rollouts", state["methods"], self.state_dict()["methods"])
        for name, one in self._learners():
            one.load_state_dict(state["learnt"][name], mapping)
        for one in self.replaying.values():
            one.load(folder)
            if mapping is not None:
                one.forget("the rows have changed")
        waiting = state["carried"]
        self.carried = None if waiting is None else Carried.from_state(waiting)
        if self.carried is not None and mapping is not None:
            say_dropped(self.carried, "the rows have changed")
            self.carried = None


def _rollouts_of(groups: IntArray, size: int) -> IntArray:
    return (groups[:, None] * size + np.arange(size)).ravel()
