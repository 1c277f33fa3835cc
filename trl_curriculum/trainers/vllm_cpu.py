"""
New weights for a vLLM that runs in the training process on a CPU: the one place where this package changes TRL.

There vLLM packs its weights once they are loaded, and TRL's `sync_weights`, which loads into the live model, fails.
vLLM's own reload works. On GPUs, and with a vLLM server, TRL's `sync_weights` runs unchanged.
"""

from collections import Counter
from typing import Any

from trl.generation.vllm_generation import VLLMGeneration

from ..lm.weights import same_base_weights


class ReloadingVLLMGeneration(VLLMGeneration):
    """[`~trl.generation.vllm_generation.VLLMGeneration`] that has vLLM reload its weights. There is no sleep mode."""

    def sync_weights(self) -> None:
        runner = self.llm.llm_engine.model_executor.driver_worker.model_runner
        # Copies: vLLM loads some tensors only after the last one, when TRL has unmerged the adapters again.
        with same_base_weights(self.accelerator.unwrap_model(self.model)):
            runner.reload_weights(
                weights_iterator=((name, value.clone()) for name, value in self._iter_named_params())
            )
        _pack_shared_weights(runner.get_model())
        self.llm.reset_prefix_cache()


def _pack_shared_weights(model: Any) -> None:
    """A head that is tied to the embeddings shares their new values, but vLLM's reload leaves it packed as it was."""
    uses = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    for module in model.modules():
        packs = getattr(module, "quant_method", None)
        if packs is not None and any(uses[id(weight)] > 1 for weight in module.parameters(recurse=False)):
            packs.process_weights_after_loading(module)


def reload_weights_on_cpu(generation: VLLMGeneration) -> None:
    """Makes `sync_weights` work where vLLM runs in this process on a CPU; changes nothing elsewhere."""
    if generation.mode != "colocate":
        return
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        generation.__class__ = ReloadingVLLMGeneration
