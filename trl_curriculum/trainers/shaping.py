"""Applies shapers where TRL scores rollouts and where it trains on them."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather

from ..disk.state import StateError
from ..records import PoolMapping
from ..rewards.answers import text_of
from ..shaping import Shaper
from ..shaping.base import has
from ..signals import FloatArray, Rollouts, Tokens
from .attended import attended_layer
from .late_entropy import DRAW, ROW
from .policy_pass import policy_pass


ENTROPY = "curriculum_entropy"  # of its tokens, where TRL's own pass over them gave it
OLD_LOGPS = "old_per_token_logps"  # TRL's: under the model that generated; a row of NaN where that is the current one
READ = "curriculum_read"  # prefix of what shapers read off its text

CLIPPED_LOSSES = ("grpo", "bnpo", "dr_grpo", "dapo", "luspo")


class Shaping:
    """
    The shapers of one run.

    Advantages of rollouts are shaped once, when the curriculum has observed them. Those of tokens are shaped each time
    they are trained on, between TRL's forward and its loss, which reads the advantages after the forward.

    Args:
        shapers (`tuple` of [`Shaper`]):
            In the order in which they act.
        trainer:
            A curriculum trainer: its `accelerator`, `args`, `host`, `model`, `pool`, `processing_class` and `state`.
        seed (`int`):
            Of all random choices.
    """

    def __init__(self, shapers: tuple[Shaper, ...], trainer: Any, seed: int) -> None:
        self.shapers, self.trainer, self.seed = shapers, trainer, seed
        self.bound = {shaper.name: shaper.bind(trainer.pool, seed) for shaper in shapers}
        self.shapes_tokens = any(has(one, "tokens") or has(one, "loss") for one in self.bound.values())
        for one in self.bound.values():
            one.meet(trainer.args, trainer.processing_class)
        self._attended = attended_layer(self.bound, trainer.model)
        self._scored: tuple[torch.Tensor, torch.Tensor] | None = None  # log-probabilities, entropies
        self.read_off: dict[
            str, torch.Tensor
        ] = {}  # what shapers read off the last completions, by its key in a batch
        self._inputs: dict[str, Any] | None = None  # of the device batch that is being trained on
        self._tokens: Tokens | None = None
        self._since_log: dict[str, list[Any]] = defaultdict(list)

    def _with(self, hook: str) -> Iterable[tuple[str, Any]]:
        return ((name, shaper) for name, shaper in self.bound.items() if has(shaper, hook))

    @property
    def _measures(self) -> bool:
        return any(one.measures for one in self.bound.values())

    # Rollouts: once, when they have been scored.

    def score(self, generate: Callable[..., dict[str, Any]], rows: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's generating and scoring, of whose pass over the completions the entropies are kept."""
        self._scored, self.read_off = None, {}
        output = generate(rows)
        if self._scored is not None and OLD_LOGPS in output:  # else the pass was a reference model's
            output[ENTROPY] = self._scored[1]
        self._scored = None
        return output | self.read_off

    def read(self, completions: list[Any]) -> None:
        """What shapers read off the completions that are being scored."""
        if not self.trainer.model.training:
            return
        device = self.trainer.accelerator.device
        for name, shaper in self._with("read"):
            for key, value in shaper.read([text_of(one) for one in completions]).items():
                self.read_off[f"{READ}/{name}/{key}"] = torch.as_tensor(value, dtype=torch.float64, device=device)

    def shape_rollouts(self, output: dict[str, Any], rollouts: Rollouts) -> None:
        """
        Sets the advantages in `output`, those of this process, to what shapers make of them.

        Args:
            output (`dict`):
                Of TRL's `_generate_and_score_completions`.
            rollouts ([`Rollouts`]):
                Of all processes, with TRL's own rewards and advantages.
        """
        local = self._measure(output)
        measured = self._gather(local)
        output.pop(ENTROPY, None)
        for key in [key for key in output if key.startswith(READ)]:
            del output[key]
        given = rollouts
        added = np.zeros(len(rollouts))
        for name, shaper in self._with("reward"):
            value = np.nan_to_num(shaper.reward(replace(rollouts, measured=measured.get(name, {}))))
            self._since_log[f"{name}/reward"].append(value.mean())
            added += value
        if added.any():
            rollouts = replace(rollouts, advantage=rollouts.advantages_of(rollouts.reward + added))
        for name, shaper in self._with("advantage"):
            before = rollouts.advantage
            after = shaper.advantage(replace(rollouts, measured=measured.get(name, {})))
            self._since_log[f"{name}/changed"].append((after != before).mean())
            rollouts = replace(rollouts, advantage=after)
        if rollouts.advantage is not given.advantage:
            self._set(output, rollouts)
        for name, shaper in self._with("observe"):
            shaper.observe(replace(given, measured=measured.get(name, {})))

    def _set(self, output: dict[str, Any], rollouts: Rollouts) -> None:
        advantage = np.where(np.isnan(rollouts.reward), 0.0, rollouts.advantage)
        accelerator = self.trainer.accelerator
        mine = np.split(advantage, accelerator.num_processes)[accelerator.process_index]
        output["advantages"] = torch.as_tensor(mine).to(output["advantages"])

    def _measure(self, output: dict[str, Any]) -> dict[tuple[str, str], torch.Tensor]:
        local = {}
        for key, value in output.items():
            if key.startswith(READ):
                _, name, what = key.split("/", 2)
                local[name, what] = value
        if self._measures:
            tokens = self.tokens_at_scoring(output)
            for name, shaper in self._with("measure"):
                if shaper.measures:
                    local |= {(name, what): value.double() for what, value in shaper.measure(tokens).items()}
        return local

    def tokens_at_scoring(self, output: dict[str, Any]) -> Tokens:
        """The tokens of this process's rollouts, with entropies, which cost a forward where TRL has made none."""
        logp, entropy = output.get(OLD_LOGPS), output.get(ENTROPY)
        if entropy is None:
            logp, entropy = policy_pass(self.trainer, output, entropies=True)
            self._scored, output = None, dict(output)
            _fill(output, logp)
        return self._make_tokens(output, logp, entropy)

    def _gather(self, local: dict[tuple[str, str], torch.Tensor]) -> dict[str, dict[str, FloatArray]]:
        measured: dict[str, dict[str, FloatArray]] = defaultdict(dict)
        if local:
            everyone = gather(torch.stack(list(local.values()), dim=1)).cpu().numpy()
            for (name, what), value in zip(local, everyone.T, strict=True):
                measured[name][what] = value
        return measured

    # Tokens: each time they are trained on.

    def forward(self, compute: Callable[..., Any], model: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's forward over completions: of a scoring pass entropies are kept, and in training tokens are shaped."""
        scoring = self._inputs is None and self._measures and self._scored is None and not torch.is_grad_enabled()
        scoring = scoring and model is self.trainer.model and model.training
        if self._attended is not None and self._inputs is not None:
            self._attended.watch()
        output = compute(model, *args, **kwargs | ({"compute_entropy": True} if scoring else {}))
        if scoring:
            self._scored = output[:2]
        if self._inputs is not None:
            _fill(self._inputs, output[0])
            if self.shapes_tokens:
                self._shape_tokens(self._inputs, *output[:2])
        return output

    def loss(self, compute: Callable[..., torch.Tensor], model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss of a device batch, with shaped advantages, and the terms that shapers add."""
        if not (self.trainer.model.training and (self.shapes_tokens or _is_mixed(inputs))):
            return compute(model, inputs)
        self._inputs, self._tokens = dict(inputs), None  # a copy: the batch is trained on again
        try:
            loss = compute(model, self._inputs)
            if self._tokens is not None:
                for name, shaper in self._with("loss"):
                    term = shaper.loss(self._tokens)
                    self._since_log[f"{name}/loss"].append(term.detach())
                    loss = loss + term / self.trainer.current_gradient_accumulation_steps
            return loss
        finally:
            self._inputs = self._tokens = None

    def _shape_tokens(self, inputs: dict[str, Any], logp: torch.Tensor, entropy: torch.Tensor) -> None:
        tokens = self._make_tokens(inputs, logp, entropy)
        if self._attended is not None:
            there = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
            tokens = replace(tokens, attention=self._attended.take(there, logp.shape[1]))
        if not tokens.mask.any():
            return
        self._tokens = self.weigh(tokens)
        if self._tokens.advantage is not tokens.advantage:
            inputs["advantages"] = self._tokens.advantage

    def weigh(self, tokens: Tokens) -> Tokens:
        """The same tokens with the advantages that shapers give them."""
        for name, shaper in self._with("tokens"):
            advantage = shaper.tokens(tokens.detach())
            changed = (advantage != tokens.advantage) & tokens.mask
            self._since_log[f"{name}/changed"].append(changed.sum() / tokens.mask.sum())
            tokens = replace(tokens, advantage=advantage)
        return tokens

    def _make_tokens(self, batch: dict[str, Any], logp: Any, entropy: torch.Tensor) -> Tokens:
        mask = (batch["completion_mask"] * batch.get("tool_mask", 1)).bool()
        advantage = batch["advantages"][:, None].repeat(1, logp.shape[1])
        old = batch.get(OLD_LOGPS)
        trainer, per_step = self.trainer, self.trainer.args.gradient_accumulation_steps
        return Tokens(
            ids=batch["completion_ids"],
            mask=mask,
            logp=logp,
            entropy=entropy,
            advantage=advantage,
            step=trainer.state.global_step,
            progress=trainer.host.progress(),
            generator=self.generator(trainer.state.global_step * per_step + trainer._step % per_step),
            old_logp=old,
            clipped=None if old is None else self._clipped(logp.detach() - old, mask, advantage),
            row=batch.get(ROW),
            draw=batch.get(DRAW),
        )

    def _clipped(self, log_ratio: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor) -> Any:
        args = self.trainer.args
        if args.loss_type not in CLIPPED_LOSSES:
            return None
        if args.importance_sampling_level == "sequence":
            log_ratio = ((log_ratio * mask).sum(1) / mask.sum(1).clamp(min=1))[:, None]
        ratio, high = log_ratio.exp(), args.epsilon if args.epsilon_high is None else args.epsilon_high
        return ((ratio < 1 - args.epsilon) & (advantage < 0)) | ((ratio > 1 + high) & (advantage > 0))

    def generator(self, micro_step: int) -> torch.Generator:
        """Of the random choices of one device batch of this process."""
        entropy = (self.seed, micro_step, self.trainer.accelerator.process_index)
        seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator().manual_seed(seed)

    # Log and state

    def metrics(self) -> dict[str, float]:
        """Means since the last call, and how shapers stand, by the key under which they are logged."""
        values = {
            f"shaping/{name}": float(np.mean([float(x) for x in seen])) for name, seen in self._since_log.items()
        }
        self._since_log.clear()
        for name, shaper in self.bound.items():
            values |= {f"shaping/{name}/{what}": x for what, x in shaper.metrics().items() if np.isfinite(x)}
        return values

    def state_dict(self) -> dict[str, Any]:
        """What shapers have learnt, and which they are."""
        specs = {shaper.name: shaper.options for shaper in self.shapers}
        return {"methods": specs, "learnt": {name: shaper.state_dict() for name, shaper in self.bound.items()}}

    def load_state_dict(self, state: dict[str, Any], mapping: PoolMapping | None = None) -> None:
        """
        Continues from what `state_dict` gave; `mapping` brings rows and arms to those of another pool.

        Raises:
            `StateError`: if the shapers or their options are others now.
        """
        refuse_changed("shaping", state["methods"], self.state_dict()["methods"])
        for name, shaper in self.bound.items():
            shaper.load_state_dict(state["learnt"][name], mapping)


def _is_mixed(inputs: dict[str, Any]) -> bool:
    """Whether rollouts of the current model are beside those of an older one."""
    return OLD_LOGPS in inputs and bool(inputs[OLD_LOGPS][:, 0].isnan().any())


def _fill(inputs: dict[str, Any], logp: torch.Tensor) -> None:
    """Gives rollouts of the current model its log-probabilities, so that their ratio is 1, as TRL does without any."""
    if _is_mixed(inputs):
        old = inputs[OLD_LOGPS]
        inputs[OLD_LOGPS] = torch.where(old[:, :1].isnan(), logp.detach(), old)


def refuse_changed(what: str, saved: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses to continue a run with other methods than it began with."""
    if json.dumps(saved) != json.dumps(now):  # order counts; a tuple comes back as a list
        raise StateError(
            f"The checkpoint was written with {what}={_spelled(saved)}, and this run has {what}={_spelled(now)}: "
            "resume with the same."
        )


def _spelled(methods: dict[str, Any]) -> str:
    return str([{name: options} if options else name for name, options in methods.items()]) if methods else "none"
