"""Rows of each arm in shuffled order, an arm being exhausted before one of its rows comes again; or of a stream."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...records import PoolMapping, Stateful, arm_state, check_array
from ...signals import CHUNK, FloatArray, IntArray, count_arms


class Queues(Stateful):
    """
    One shuffled queue of rows per arm, in 4 bytes a row.

    Args:
        arm (`NDArray`, shape `(size,)`):
            Arm of each row.
        n_arms (`int`):
            Number of arms; an arm may be empty.
        rng (`np.random.Generator`):
            The curriculum's generator; an arm is shuffled by it when its queue is first used or used up.
        order (`NDArray`, shape `(size,)`, *optional*):
            Rows sorted by arm, in the order of the first pass; shuffled by default.
    """

    def __init__(self, arm: NDArray, n_arms: int, rng: np.random.Generator, order: NDArray | None = None) -> None:
        self.rng = rng
        self.size = count_arms(arm, n_arms)
        self.start_of = np.cumsum(self.size) - self.size
        self.order = self._grouped(arm) if order is None else order.astype(np.int32)
        # Place of the next row in its queue; -1: not shuffled yet
        self.position = np.full(n_arms, -1 if order is None else 0)

    def _grouped(self, arm: NDArray) -> NDArray[np.int32]:
        """Rows sorted by arm: a counting sort in pieces, whose temporary arrays stay small."""
        order = np.empty(len(arm), np.int32)
        place = self.start_of.copy()
        for begin in range(0, len(arm), CHUNK):
            piece = arm[begin : begin + CHUNK]
            by_arm = np.argsort(piece, kind="stable")
            found, first, count = np.unique(piece[by_arm], return_index=True, return_counts=True)
            order[np.repeat(place[found] - first, count) + np.arange(len(piece))] = begin + by_arm
            place[found] += count
        return order

    def chance(self, p: FloatArray, arm: IntArray) -> FloatArray:
        """Marginal probability of rows whose arms were drawn with probabilities `p`, shape `(n,)`."""
        return p[arm] / self.size[arm]

    def pop(self, arms: IntArray) -> IntArray:
        """Next row of each arm in `arms`, shape `(n,)`; takes O(n), and O(arm) where a queue is used up."""
        by_arm = np.argsort(arms, kind="stable")
        asked, first, count = np.unique(arms[by_arm], return_index=True, return_counts=True)
        ahead = np.arange(len(arms)) - np.repeat(first, count)  # how many of the same arm come before in this call
        position = np.repeat(self.position[asked], count) + ahead
        rows = np.empty(len(arms), np.int64)
        left = (self.position[asked] >= 0) & (self.position[asked] + count <= self.size[asked])
        from_queue = np.repeat(left, count)
        arm_of = np.repeat(asked, count)
        rows[by_arm[from_queue]] = self.order[(self.start_of[arm_of] + position)[from_queue]]
        self.position[asked[left]] += count[left]
        for k in np.flatnonzero(~left):
            rows[by_arm[first[k] : first[k] + count[k]]] = self._pop_past_the_end(asked[k], count[k])
        return rows

    def _pop_past_the_end(self, arm: int, count: int) -> IntArray:
        queue = self.order[self.start_of[arm] : self.start_of[arm] + self.size[arm]]
        taken = [queue[self.position[arm] :].copy()] if self.position[arm] >= 0 else []
        missing = count - sum(map(len, taken))
        while missing > 0:
            self.rng.shuffle(queue)
            taken.append(queue[:missing].copy())
            self.position[arm] = len(taken[-1])
            missing -= len(taken[-1])
        return np.concatenate(taken)

    def state_dict(self) -> dict[str, Any]:
        return {"order": self.order.copy(), "position": self.position.copy(), "size": self.size.copy()}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        for name in ("order", "position", "size"):
            like = getattr(self, name)
            check_array(name, state.get(name), like.dtype, like.shape if mapping is None else None, -1)
        if mapping is not None:
            self._carry_over(state, mapping)
            return
        if not np.array_equal(state["size"], self.size):
            raise self.damaged("size")
        arm = np.repeat(np.arange(len(self.size)), self.size)
        arm_of = np.full(len(self.order), -1)
        arm_of[self.order] = arm
        inside = state["order"].max(initial=0) < len(arm_of) and state["order"].min(initial=0) >= 0
        if not inside or not np.array_equal(np.bincount(state["order"], minlength=len(arm_of)), np.ones(len(arm_of))):
            raise self.damaged("order")
        if not np.array_equal(arm_of[state["order"]], arm) or (state["position"] > self.size).any():
            raise self.damaged("position")
        self.order[:] = state["order"]
        self.position[:] = state["position"]

    def _carry_over(self, state: dict[str, Any], mapping: PoolMapping) -> None:
        """What was used up stays used up, what was waiting keeps its order, new rows are shuffled in among it."""
        old_arm = np.repeat(np.arange(len(state["size"])), state["size"])
        place = np.arange(mapping.old_size) - np.repeat(np.cumsum(state["size"]) - state["size"], state["size"])
        left = place - state["position"][old_arm]  # < 0: used up
        waiting = np.maximum(state["size"] - np.maximum(state["position"], 0), 1)[old_arm]
        key_in_order = np.where((left < 0) & (state["position"][old_arm] >= 0), -1 / (1.0 + place), left / waiting)
        key_of_old = np.empty(mapping.old_size)
        key_of_old[state["order"]] = key_in_order  # [-1, 0): used up, in order; [0, 1]: waiting, in order
        key = mapping.rows(key_of_old, np.nan)
        key = np.where(np.isnan(key), self.rng.random(len(key)), key)
        for arm in range(len(self.size)):
            queue = self.order[self.start_of[arm] : self.start_of[arm] + self.size[arm]]
            queue[:] = queue[np.argsort(key[queue], kind="stable")]
            continues = mapping.arm[arm] >= 0 and state["position"][mapping.arm[arm]] >= 0
            self.position[arm] = (key[queue] < 0).sum() if continues else -1


class OneQueue(Queues):
    """
    All rows of a pool in shuffled order, each once before any comes again.

    Args:
        size (`int`):
            Rows of the pool.
        rng (`np.random.Generator`):
            The curriculum's generator.
    """

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        super().__init__(np.broadcast_to(np.int32(0), size), 1, rng)

    def up_to(self, n: int) -> IntArray:
        """The next rows, at most `n` and at most as many as are left before they are shuffled anew: all distinct."""
        begin = int(self.position[0])
        if not 0 <= begin < self.size[0]:
            self.rng.shuffle(self.order)
            begin = 0
        rows = self.order[begin : begin + n].astype(np.int64)
        self.position[0] = begin + len(rows)
        return rows

    def give_back(self, n: int) -> None:
        """Lets the last `n` rows that `up_to` gave come again, first."""
        self.position[0] -= n

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        super().load_state_dict(state, None if mapping is None else mapping.with_arms(np.zeros(1, np.int64)))


class StreamQueues(Stateful):
    """
    The rows of streams, each in its order: of n queues, row p of queue q is row p * n + q of the pool.

    Args:
        size (`IntArray`, shape `(n,)`):
            Rows of each that can be drawn.
    """

    position: IntArray = arm_state(0, np.int64, 0)  # rows that were drawn

    def __init__(self, size: IntArray) -> None:
        self.size = size
        self.start(0, len(size))

    def chance(self, p: FloatArray, arm: IntArray) -> FloatArray:
        """A row of a stream has no probability: it comes when it is its turn."""
        return np.full(len(arm), np.nan)

    def pop(self, arms: IntArray) -> IntArray:
        """Next row of each arm in `arms`, shape `(n,)`; takes O(n)."""
        by_arm = np.argsort(arms, kind="stable")
        asked, first, count = np.unique(arms[by_arm], return_index=True, return_counts=True)
        place = np.empty(len(arms), np.int64)
        place[by_arm] = np.repeat(self.position[asked] - first, count) + np.arange(len(arms))
        self.position[asked] += count
        return place * len(self.size) + arms


def queues_of(pool: Any, rng: np.random.Generator) -> Queues | StreamQueues:
    """The queues of a pool's arms."""
    return StreamQueues(pool.arm_size) if pool.is_stream else Queues(pool.arm, pool.n_arms, rng)
