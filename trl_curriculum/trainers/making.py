"""How prompts are read and completions are made of them, where methods of rollouts or shapers say so."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from ..rewriting import Moment
from ..rollouts.base import overrides
from ..shaping.base import has
from ..signals import Rollouts
from .branching import Branching
from .cutting import Cutting
from .exploring import Exploring


logger = logging.getLogger(__name__)

EXPLORED = "explored_tokens"  # of completions of prompts that were asked once more


def rewriters(methods: Iterable[Any], bound: Iterable[Any]) -> list[Any]:
    """Those methods of rollouts, and then shapers that are bound, which rewrite rows."""
    return [one for one in methods if overrides(one, "rewrite")] + [one for one in bound if has(one, "rewrite")]


def rewritten(row: dict[str, Any], moment: Moment, by: Iterable[Any]) -> dict[str, Any]:
    """A row as one after the other rewrites it."""
    for one in by:
        row = one.rewrite(row, moment)
    return row


class MakingMixin:
    """Hooks of GRPO's generation: to be listed before the TRL trainer that it extends, after [`CurriculumMixin`]."""

    args: Any
    accelerator: Any
    host: Any
    model: Any
    refilling: Any
    shaping: Any
    state: Any

    def _set_up_making(self) -> None:
        """To be called once the trainer has its methods, and before its probe is made."""
        methods, seed = self.refilling.methods, self.shaping.seed
        self._heater = next((one for one in methods if overrides(one, "temperature")), None)
        self._branching = next((Branching(one, self, seed) for one in methods if overrides(one, "branch")), None)
        self._exploring = next((Exploring(one, self, seed) for one in methods if overrides(one, "explore")), None)
        self._cutting = Cutting(tuple(one for one in methods if overrides(one, "truncate")), self)
        self._rewriters = rewriters(methods, self.shaping.bound.values())
        self._made_since_log: dict[str, list[float]] = defaultdict(list)
        for method in methods if self.accelerator.is_main_process else ():
            if (doubt := method.doubt(self.args)) is not None:
                logger.warning("%s", doubt)

    def rewritten(self, read: list[dict[str, Any]], rows: Any) -> list[dict[str, Any]]:
        """
        Rows as a draw at this step generates from them.

        Args:
            read (`list[dict]`):
                What the dataset holds.
            rows (`Sequence[int]`):
                Their positions in the pool.
        """
        if not self._rewriters:
            return read
        progress = self.host.progress() if self.state.max_steps > 0 else 0.0  # before training nothing is done
        now = (self.state.global_step, progress, self.shaping.seed)
        return [rewritten(one, Moment(int(row), *now), self._rewriters) for one, row in zip(read, rows, strict=True)]

    def _heated(self) -> AbstractContextManager[None]:
        """Sampling at the temperature of this moment."""
        if self._heater is None:
            return nullcontext()
        temperature = self._heater.temperature(self.host.progress())
        self._made_since_log["temperature"].append(temperature)
        return self.sampling_at(temperature)

    @contextmanager
    def sampling_at(self, temperature: float) -> Iterator[None]:
        """Samples at a temperature; evaluation and probes, which come outside, have their own."""
        trainer: Any = self
        sampler = trainer.vllm_generation if trainer.use_vllm else trainer.generation_config
        before, sampler.temperature = sampler.temperature, temperature
        try:
            yield
        finally:
            sampler.temperature = before

    def _cut(self, output: dict[str, Any], rollouts: Rollouts) -> Rollouts:
        """The rollouts as far as they are trained on."""
        if not self._cutting.methods:
            return rollouts
        left, cut = self._cutting.cut(output, rollouts)
        self._made_since_log["frac_cut"].append(cut.mean())
        self.refilling.cut_tokens += int((rollouts.length - left.length).sum())
        return left

    def _finished(self, output: dict[str, Any], rollouts: Rollouts) -> dict[str, Any]:
        """What is trained on of a shaped batch: methods may put other rollouts in place of some, and scale it."""
        if self._exploring is not None:
            generate = super()._generate_and_score_completions  # type: ignore[misc]
            output, entropy, replaced, tokens = self._exploring.explore(output, rollouts, generate)
            self._made_since_log["entropy"].append(entropy)
            self._made_since_log["frac_replaced"].append(replaced)
            self._made_since_log[EXPLORED].append(tokens)
        self.refilling.finish(output, rollouts)
        return output

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, *args: Any, **kwargs: Any
    ) -> Any:
        single_turn = super()._generate_single_turn  # type: ignore[misc]
        if self._branching is None or not self.model.training:
            return single_turn(prompt_ids, images, multimodal_fields, num_generations, *args, **kwargs)
        forward = super()._get_per_token_logps_and_entropies  # type: ignore[misc]
        return self._branching.generate(single_turn, forward, prompt_ids, num_generations), None

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        if self.model.training:
            for name, seen in self._made_since_log.items():
                logs[f"rollouts/{name}"] = float(np.sum(seen) if name == EXPLORED else np.mean(seen))
            self._made_since_log.clear()
        super().log(logs, *args, **kwargs)  # type: ignore[misc]
