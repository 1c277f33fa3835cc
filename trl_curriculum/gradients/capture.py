"""Per-sample gradients of a batch in one forward and backward, and their projection."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from .project import Projection


Layers = Literal["lora", "last", "all"]
ADAM = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}  # LESS's, whose ε stands inside the root


class GradientFeatures:
    r"""
    Projects the gradient of each sequence's mean loss, all sequences of a batch at once.

    In a linear layer the gradient of sequence s is $\sum_t \delta_{st} x_{st}^\top$, with inputs x and gradients δ of
    the outputs at its tokens t. Both pass by in an ordinary forward and backward; there the outer products are summed
    per sequence, projected, and forgotten. Weights get no gradient of their own, the backward ends at the first of the
    layers, and logits are only computed at positions where some sequence is trained on (if the model's forward takes
    `logits_to_keep`), so this costs about as much as a forward and backward of the batch.

    Args:
        model ([`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            A causal language model.
        projection ([`Projection`]):
            Of the gradients, each parameter with a name of its own.
        layers (`str`, *optional*, defaults to `"lora"`):
            Which linear layers: `"lora"`: the adapters' (their parameters); `"last"`: those of the last `n_last`
            blocks; `"all"`: those of all blocks.
        n_last (`int`, *optional*, defaults to `4`):
            See `layers`.
        moments (`dict[str, tuple[torch.Tensor, torch.Tensor]]`, *optional*):
            Adam's first and second moment of each parameter: the gradient is then that of an Adam step (LESS), else of
            an SGD step.
    """

    def __init__(
        self,
        model: Any,
        projection: Projection,
        layers: Layers = "lora",
        n_last: int = 4,
        moments: dict[str, tuple[torch.Tensor, torch.Tensor]] | None = None,
    ) -> None:
        self.model, self.projection, self.moments = model, projection, moments
        self.linears = dict(chosen_linears(model, layers, n_last))
        if not self.linears:
            raise ValueError(f"layers={layers!r} finds no linear layer in {type(model).__name__}.")
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.keeps_logits = "logits_to_keep" in inspect.signature(base.forward).parameters

    def __call__(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """
        Features of a right-padded batch, shape `(batch, dimension)`, float32, not normalized.

        Args:
            input_ids, attention_mask, labels (`torch.Tensor`, shape `(batch, tokens)`):
                As for training; a label of -100 is not trained on. A sequence without any gets zeros.
        """
        into = torch.zeros(len(input_ids), self.projection.dimension, device=input_ids.device)
        with self._watching(into), torch.enable_grad():
            trained = labels[:, 1:] != -100
            kept = trained.any(dim=0).nonzero().squeeze(1)
            options = {"logits_to_keep": kept} if self.keeps_logits else {}
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **options).logits
            if not self.keeps_logits:
                logits = logits[:, kept]
            loss = nn.functional.cross_entropy(
                logits.float().transpose(1, 2), labels[:, 1:][:, kept], ignore_index=-100, reduction="none"
            )
            count = trained.sum(dim=1).clamp(min=1)
            (loss.sum(dim=1) / count).sum().backward()
        return into

    @contextmanager
    def _watching(self, into: torch.Tensor) -> Iterator[None]:
        """Hooks on the linear layers, and no gradients for the weights themselves."""
        wanted = [(p, p.requires_grad) for p in self.model.parameters()]
        handles = [
            linear.register_forward_hook(self._hook(name, into), with_kwargs=False)
            for name, linear in self.linears.items()
        ]
        training = self.model.training
        try:
            for p, _ in wanted:
                p.requires_grad_(False)
            self.model.eval()
            yield
        finally:
            self.model.train(training)
            for handle in handles:
                handle.remove()
            for p, wants in wanted:
                p.requires_grad_(wants)

    def _hook(self, name: str, into: torch.Tensor) -> Any:
        def forward(module: nn.Module, args: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            x = args[0].detach()

            def backward(delta: torch.Tensor) -> None:
                gradient = torch.einsum("bto,bti->boi", delta.float(), x.float())
                if self.moments is not None:
                    gradient = _adam(gradient, *self.moments[name])
                self.projection.add(into, gradient, name)

            if not output.requires_grad:  # no weight wants a gradient: the graph begins at the first of these layers
                output.requires_grad_(True)
            output.register_hook(backward)

        return forward


def _adam(gradient: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Direction of the Adam step that this gradient would make next."""
    m = ADAM["beta1"] * first + (1 - ADAM["beta1"]) * gradient
    v = ADAM["beta2"] * second + (1 - ADAM["beta2"]) * gradient**2
    return m / (v + ADAM["epsilon"]).sqrt()


def chosen_linears(model: Any, layers: Layers, n_last: int) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers whose weights' gradients are taken, by the name of the weight."""
    if layers not in ("lora", "last", "all"):
        raise ValueError(f"layers={layers!r} is none of lora, last, all.")
    blocks = model.config.get_text_config().num_hidden_layers
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear):
            continue
        adapter = ".lora_A." in name or ".lora_B." in name
        if layers == "lora":
            if adapter:
                yield f"{name}.weight", module
        elif not adapter and ".layers." in name:
            block = int(name.split(".layers.")[1].split(".")[0])
            if layers == "all" or block >= blocks - n_last:
                yield f"{name}.weight", module
