"""A model's weights as another program loads them, and adapters that leave no rounding behind in the base."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def same_base_weights(model: Any) -> Iterator[None]:
    """Puts an adapted model's own weights back, bit for bit: merging adapters and unmerging them again rounds."""
    before = {}
    if hasattr(model, "merge_adapter"):
        before = {name: p.detach().cpu().clone() for name, p in model.named_parameters() if ".base_layer." in name}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if name in before:
                    p.copy_(before[name])


def whole_weights(model: Any) -> dict[str, torch.Tensor]:
    """A model's weights on the CPU under their own names, with the adapters of PEFT merged into them."""
    adapted = hasattr(model, "merge_adapter")
    with same_base_weights(model):
        if adapted:
            model.merge_adapter()
        try:
            weights = {}
            for name, value in model.state_dict().items():
                name = name.removeprefix("base_model.model.").replace(".base_layer", "")
                if adapted and (model.prefix in name or "original_module" in name):
                    continue
                weights[name.replace("modules_to_save.default.", "")] = value.detach().cpu().clone()
            return weights
        finally:
            if adapted:
                model.unmerge_adapter()


@contextmanager
def whole_when_saved(accelerator: Any) -> Iterator[None]:
    """Has FSDP give whole weights, of which `save_model` writes none where its `state_dict_type` is a sharded one."""
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    before = getattr(plugin, "state_dict_type", None)
    if plugin is None or plugin.fsdp_version != 2 or "FULL" in str(before):
        yield
        return
    plugin.set_state_dict_type("FULL_STATE_DICT")
    try:
        yield
    finally:
        plugin.set_state_dict_type(before)
