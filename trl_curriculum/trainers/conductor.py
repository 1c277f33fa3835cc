"""What a run with a curriculum is made of, whoever trains: pool, curriculum, probe, history, log and state."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..curricula import CurriculumMethod, Draw
from ..curricula.base import MAX_LOGGED_ARMS
from ..data.names import keys
from ..pool import Pool
from ..records import PoolMapping
from ..report.history import History
from ..signals import Feedback, FloatArray, IntArray
from .host import Host


logger = logging.getLogger(__name__)

Measure = Callable[[str, IntArray], tuple[FloatArray, Any]]

MAX_PROBES = 10_000  # before one draw: a curriculum that asks for more asks for ever


class Conductor:
    """
    Draws rows for whoever trains on them, and hands back what they showed.

    The host calls `draw` at the moment it needs rows, trains on them, and calls `observe`. Every process runs the same
    curriculum with the same seed on the same gathered feedback, so draws agree without communication; that they do is
    checked with each feedback (`gather_checked`).

    Args:
        method ([`~trl_curriculum.curricula.CurriculumMethod`]):
            The curriculum with its options.
        pool ([`Pool`]):
            Rows to choose from.
        seed (`int`):
            Seed of the draws.
        host ([`Host`]):
            Who trains.
        history ([`History`]):
            Where draws are written down.
        position (`IntArray`, *optional*):
            Place of each row of the pool in the user's dataset, where some were left out.
    """

    def __init__(
        self,
        method: CurriculumMethod,
        pool: Pool,
        seed: int,
        host: Host,
        history: History,
        position: IntArray | None = None,
    ) -> None:
        self.pool, self.host, self.history, self.position = pool, host, history, position
        self.curriculum = method.bind(pool, seed)
        self.measure: Measure | None = None  # answers what the curriculum asks for
        self._since_log: dict[str, list[float]] = defaultdict(list)
        self._pulls: Counter[str] = Counter()
        self._unanswered = 0
        names = self.curriculum.arm_names
        self._arm_keys = keys(names) if len(names) <= MAX_LOGGED_ARMS else {}

    # A step

    def draw(self, n: int) -> Draw:
        """Rows for the batch that is about to be trained on; the same on every process."""
        progress, curriculum = self.host.progress(), self.curriculum
        for _ in range(MAX_PROBES):
            if (rows := curriculum.rows_to_probe(progress)) is None:
                break
            if self.measure is None or curriculum.method.probe is None:
                raise RuntimeError(f"Curriculum {curriculum.name!r} asks for a probe, and nobody measures here.")
            curriculum.observe_probe(rows, *self.measure(curriculum.method.probe, rows))
        else:
            raise RuntimeError(
                f"Curriculum {curriculum.name!r} has asked for {MAX_PROBES} probes before one draw: its rows_to_probe "
                "must return None once observe_probe was given what it asks for."
            )
        draw = curriculum.select(n, progress)
        if any(event.fresh_optimizer for event in draw.events):
            self.host.forget_optimizer()
        return draw

    def repeat(self, draw: Draw, times: IntArray) -> Draw:
        """What was just drawn, each row so many `times`; what repeats a draw is one of its own."""
        repeated = draw.repeated(times, self.curriculum.drawn)
        self.curriculum.drawn += len(repeated) - len(draw)
        return repeated

    def will_train_on(self, draw: Draw) -> None:
        """Notes that a draw is on its way: its feedback is due."""
        self._since_log["staleness"].append(self._unanswered)
        self._since_log["repeated_rows"].append(len(draw) - len(np.unique(draw.row)))
        self._unanswered += 1

    def gather_checked(self, parts: list[IntArray], *values: Any) -> tuple[FloatArray, ...]:
        """
        Gathers values per rollout or sequence from all processes, in one collective, and checks that all drew alike.

        `parts` are the rows of each process; each of `values` has the length of this process's part.
        """
        # Positions are compared modulo 2^24, which a float32 still holds exactly.
        longest = max(map(len, parts))
        everyone = self.host.gather([parts[self.host.process] % 2**24, *values], longest)
        kept = np.concatenate([k * longest + np.arange(len(part)) for k, part in enumerate(parts)])
        everyone = everyone[kept]
        if not np.array_equal(everyone[:, 0], np.concatenate(parts) % 2**24):
            raise RuntimeError(
                "The processes drew different rows: their curricula have diverged. Check that all processes see the "
                "same dataset and run the same versions of numpy."
            )
        return tuple(everyone[:, 1 + k] for k in range(len(values)))

    def observe(self, draw: Draw, feedback: Feedback) -> None:
        """Hands what a batch showed to the curriculum, the history and the log."""
        self.curriculum.observe(feedback)
        self._unanswered -= 1
        shown = self.history.add(draw, self.curriculum.arm_names, feedback, self.position)
        signal = "advantage" if "advantage" in shown else "loss"
        if "scored" in shown:
            scored = shown["scored"] > 1  # of a single reward nothing can be said
            self._since_log["unobserved_rollouts"].append(len(feedback) - shown["scored"].sum())
            if scored.any():
                self._since_log["frac_zero_variance"].append(shown["zero_variance"][scored].mean())
        else:
            self._since_log["unobserved_rows"].append(np.isnan(shown["loss"]).sum())
        if len(self.curriculum.arm_names) <= MAX_LOGGED_ARMS:
            self._pulls.update(shown["arm"])
            for arm, value in zip(shown["arm"], shown[signal], strict=True):
                self._since_log[f"{signal}/{arm}"].append(value)

    # Reporting

    def metrics(self) -> dict[str, float]:
        """What happened since this was called last, and how the curriculum stands now."""
        values = {}
        for key, collected in self._since_log.items():
            seen = [value for value in collected if np.isfinite(value)]
            if seen:
                values[key] = float(np.mean(seen))
        values.update({f"pulls/{arm}": float(count) for arm, count in self._pulls.items()})
        values.update({key: value for key, value in self.curriculum.metrics().items() if np.isfinite(value)})
        self._since_log.clear()
        self._pulls.clear()
        return {self._key(key): value for key, value in values.items()}

    def _key(self, key: str) -> str:
        """A key of the log whose arm is spelled such as trackers take it."""
        what, slash, arm = key.partition("/")
        return what + slash + self._arm_keys.get(arm, arm)

    @property
    def has_news(self) -> bool:
        """Whether anything happened since `metrics` was called last."""
        return bool(self._since_log)

    def finish(self) -> None:
        """Ends a training: writes the rest of the history, and warns of what the curriculum never came to do."""
        self.history.flush()
        if (sentence := self.curriculum.unfinished()) is not None:
            logger.warning("%s", sentence)

    # State

    def start(self) -> None:
        """Begins a training without a checkpoint."""
        if self.curriculum.drawn == 0:
            self.history.start_over()

    def state_dict(self) -> dict[str, Any]:
        """What the next draws depend on."""
        return {"curriculum": self.curriculum.state_dict()}

    def load_state_dict(self, state: dict[str, Any], carry_over: bool = False) -> PoolMapping | None:
        """Continues from a saved state, and forgets the draws of the history that are made again."""
        mapping = self.curriculum.load_state_dict(state["curriculum"], carry_over)
        if mapping is not None:
            logger.warning("Resuming on changed data: %s.", mapping.summary())
        kept = self.history.rewind(self.curriculum.drawn, self.curriculum.waiting, mapping is not None)
        trained = self.curriculum.drawn - len(self.curriculum.waiting)
        if self.host.process == 0 and kept != trained:
            logger.warning(
                "The history in %s holds %d of the %d draws before the checkpoint, which is another folder's.",
                self.history.folder.parent,
                kept,
                trained,
            )
        return mapping
