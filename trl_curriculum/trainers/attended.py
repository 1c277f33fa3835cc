"""How widely one layer looks around in its context, seen in the forward that trains."""

from collections.abc import Mapping
from typing import Any

import torch

from ..pool import Pool
from ..shaping import Hooks, Shaper


class AttendedLayer:
    """
    Keeps the entropy of one layer's attention while a forward is watched: a number a token, and no weights.

    Args:
        model (`torch.nn.Module`):
            A transformers model, or what holds one.
        depth (`float`):
            Where the layer lies among those that have attention, from 0 (first) to 1 (last).

    Raises:
        `ValueError`: where transformers knows of no layer whose attention can be seen.
    """

    def __init__(self, model: torch.nn.Module, depth: float) -> None:
        layers = attention_layers(model)
        if not layers:
            raise ValueError(
                f"The attention of {type(model).__name__} is to be looked at, and transformers does not say which of "
                "its modules have one: use another model, or leave out the shaper that needs it."
            )
        layer, self._index = layers[min(int(depth * len(layers)), len(layers) - 1)]
        layer.register_forward_hook(self._see)
        self._seen: list[torch.Tensor] | None = None  # of the forward that is watched

    def watch(self) -> None:
        """To be called before a forward whose attention is wanted; others, as those of generation, cost nothing."""
        self._seen = []

    def take(self, mask: torch.Tensor, n: int) -> torch.Tensor:
        """
        Entropies of the forward that was watched, at the positions that the last `n` tokens are predicted from.

        Args:
            mask (`torch.Tensor`, shape `(sequences, tokens)`):
                Which tokens of prompt and completion there are.
            n (`int`):
                Tokens of completions.

        Returns:
            `torch.Tensor`, shape `(sequences, n)`: each as a share of the largest that its context allows.
        """
        assert self._seen is not None
        entropy, self._seen = torch.cat(self._seen), None
        return share_of_largest(entropy, mask)[:, -n - 1 : -1]

    def _see(self, module: torch.nn.Module, args: Any, output: Any) -> None:
        if self._seen is None:  # also while gradient checkpointing computes the layer once more
            return
        weights = output[self._index] if isinstance(output, tuple) else output
        if getattr(weights, "ndim", 0) != 4:
            raise ValueError(
                f"{type(module).__name__} gave no weights of its attention, which a shaper needs: load the model with "
                "attn_implementation='eager', or leave the shaper out."
            )
        self._seen.append(attention_entropy(weights))


def attention_entropy(weights: torch.Tensor) -> torch.Tensor:
    """
    Entropy in nats of the attention that is averaged over the heads, shape `(sequences, queries)`, without gradient.

    Args:
        weights (`torch.Tensor`, shape `(sequences, heads, queries, keys)`):
            Need not sum to 1 over the keys: dropout and sinks take from them.
    """
    share = weights.detach().float().mean(1)
    share = share / share.sum(-1, keepdim=True).clamp(min=1e-12)
    return torch.special.entr(share).sum(-1)


def share_of_largest(entropy: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Entropies over the log of how many tokens each position sees, itself included; 0 where it sees one alone."""
    seen = mask.cumsum(1)
    return torch.where(seen > 1, entropy / seen.clamp(min=2).log(), 0.0)


def attention_layers(model: torch.nn.Module) -> list[tuple[torch.nn.Module, int]]:
    """The modules whose attention transformers can record, in their order, and which of their outputs it is."""
    found: dict[torch.nn.Module, int] = {}
    for part in model.modules():
        specs = getattr(part, "can_record_outputs", {}).get("attentions", [])
        for spec in specs if isinstance(specs, list) else [specs]:
            kind, index = getattr(spec, "target_class", spec), getattr(spec, "index", 1)
            within = getattr(spec, "layer_name", None) or ""
            for name, module in part.named_modules():
                if isinstance(kind, type) and issubclass(type(module), kind) and within.strip(".") in name:
                    found[module] = index
    return list(found.items())


def attended_layer(bound: Mapping[str, Hooks], model: torch.nn.Module) -> AttendedLayer | None:
    """The layer whose attention shapers need, where one does; refuses those that name others."""
    wanted = {one.attends: name for name, one in bound.items() if one.attends is not None}
    if len(wanted) > 1:
        raise ValueError(
            f"{' and '.join(wanted.values())} look at the attention of different layers (depths "
            f"{' and '.join(map(str, wanted))}): give them one."
        )
    return AttendedLayer(model, *wanted) if wanted else None


def attention_of(model: Any, args: Any) -> str | None:
    """The `attn_implementation` of a trainer's model, or that with which it will be loaded by its name."""
    if isinstance(model, str):
        return (args.model_init_kwargs or {}).get("attn_implementation")
    return getattr(model.config, "_attn_implementation", None)


def refuse_unattended(shapers: tuple[Shaper, ...], attention: str | None, args: Any) -> None:
    """
    Refuses a shaper that looks at attention beside a model that does not show its weights, before it is loaded.

    Args:
        shapers (`tuple` of [`Shaper`]):
            Of the run.
        attention (`str`, *optional*):
            What the model is loaded with, or was: its `attn_implementation`.
        args ([`~trl.GRPOConfig`]):
            The trainer's.
    """
    name = next((shaper.name for shaper in shapers if shaper.bind(Pool(1), 0).attends is not None), None)
    if name is None:
        return
    if attention != "eager":
        given = f"attn_implementation={attention!r}" if attention else "the default attn_implementation"
        raise ValueError(
            f"{name} looks at the weights of the attention, which {given} does not give: set attn_implementation: "
            "eager (in Python load the model with it, or name it in model_init_kwargs)."
        )
    if args.torch_compile:
        raise ValueError(f"{name} looks into the model, which torch_compile=True makes another: leave one out.")
