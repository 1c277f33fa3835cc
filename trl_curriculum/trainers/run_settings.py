"""What a run depends on, as a checkpoint keeps it, and what differs where another run goes on from there."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any

from ..disk.fingerprint import fingerprint
from ..disk.state import StateError
from . import facts


logger = logging.getLogger(__name__)

# Arguments, by what becomes of a resume with another value. One that stands nowhere is warned of.
REFUSED = frozenset(
    # rows and tokens
    "max_length truncation_mode packing packing_strategy padding_free completion_only_loss assistant_only_loss "
    "dataset_text_field chat_template_kwargs eos_token pad_token answer_column train_sampling_strategy "
    "label_smoothing_factor neftune_noise_alpha "
    # rollouts
    "num_generations num_iterations max_completion_length temperature top_p top_k min_p repetition_penalty "
    "generation_kwargs max_tool_calling_iterations "
    # rewards, advantages and losses
    "reward_weights scale_rewards multi_objective_aggregation mask_truncated_completions loss_type beta epsilon "
    "epsilon_high delta importance_sampling_level top_entropy_quantile sync_ref_model ref_model_mixup_alpha "
    "ref_model_sync_steps sapo_temperature_neg sapo_temperature_pos off_policy_mask_threshold entropy_coef "
    "entropy_coef_delta entropy_coef_max entropy_coef_min entropy_target use_adaptive_entropy vespo_k_neg vespo_k_pos "
    "vespo_lambda_neg vespo_lambda_pos use_bias_correction_kl router_aux_loss_coef "
    # schedule and optimizer, whose numbers come from the checkpoint: another value would do nothing, or half
    "learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps optim optim_args optim_target_modules "
    "weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm average_tokens_across_devices "
    # randomness and precision
    "seed data_seed full_determinism disable_dropout bf16 fp16 cast_lm_head_to_fp32".split()
)
WARNED = frozenset(
    # how long the run is, by which the learning rate and the curriculum go: extending one is a fair wish
    "max_steps num_train_epochs max_tokens "
    # rows of a step per device: rows of a step are compared as a whole
    "per_device_train_batch_size gradient_accumulation_steps "
    # ways to compute the same, which round differently
    "use_cpu tf32 torch_compile torch_compile_backend torch_compile_mode use_liger_kernel liger_kernel_config "
    "use_vllm vllm_mode vllm_importance_sampling_correction vllm_importance_sampling_mode "
    "vllm_importance_sampling_cap vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min "
    "vllm_structured_outputs_regex use_transformers_paged use_transformers_continuous_batching "
    "transformers_continuous_batching_config cache_implementation pad_to_multiple_of dataset_kwargs "
    "model_init_kwargs".split()
)
IGNORED = frozenset(
    "output_dir overwrite_output_dir run_name project disable_tqdm resume_from_checkpoint on_data_change "
    "trust_remote_code remove_unused_columns shuffle_dataset gradient_checkpointing gradient_checkpointing_kwargs "
    "activation_checkpointing activation_checkpointing_kwargs activation_offloading torch_empty_cache_steps "
    "auto_find_batch_size use_cache debug deepspeed fsdp fsdp_config accelerator_config parallelism_config "
    "ds3_gather_for_generation dataset_num_proc length_column_name label_names ignore_data_skip local_rank do_train "
    "do_eval do_predict batch_eval_metrics bf16_full_eval fp16_full_eval prediction_loss_only "
    "num_generations_eval include_for_metrics include_num_input_tokens_seen skip_memory_metrics "
    "load_best_model_at_end metric_for_best_model greater_is_better restore_callback_states_from_checkpoint "
    "enable_jit_checkpoint num_completions_to_print "
    # compared as what they become: rows of a step and a generation, the template, the probe
    "steps_per_generation generation_batch_size chat_template_path probe "
    # compared with their own states: the curriculum, its pool, methods of rollouts and shapers
    "method curriculum arms difficulty_column unusable_rows rollouts shaping "
    # changes nothing that is trained
    "lm_eval".split()
)
IGNORED_PREFIXES = tuple(
    "logging_ log_ save_ eval_ per_device_eval hub_ push_ report_ dataloader_ ddp_ trackio_ vllm_gpu_ vllm_group_ "
    "vllm_server_ vllm_tensor_ vllm_max_ vllm_model_ vllm_enable_".split()
)

SIZE = ("steps_per_generation", "generation_batch_size")
OF_THE_MACHINE = ("batch_tokens", "back_end", "back_end_options")  # of a probe

UNTOLD_OF_ADAPTERS = ("base_model_name_or_path", "inference_mode", "revision", "peft_version", "auto_mapping")


def is_ignored(name: str) -> bool:
    """Whether neither draws, tokens nor weights depend on an argument."""
    return name in IGNORED or name.startswith(IGNORED_PREFIXES)


def run_settings(trainer: Any) -> dict[str, dict[str, Any]]:
    """
    What the draws, tokens and weights of a trainer depend on, as plain values without secrets, in four groups:
    `refused`, of which another value is refused at a resume, `warned`, `versions`, and `size`, the processes and rows
    of a step.
    """
    args = trainer.args
    known = {one.name: facts.plain(getattr(args, one.name)) for one in dataclasses.fields(args) if one.init}
    counted = {name: value for name, value in known.items() if not is_ignored(name)}
    refused = {name: value for name, value in counted.items() if name in REFUSED}
    refused |= (
        {"trainer": "GRPO" if hasattr(trainer, "reward_funcs") else "SFT"}
        | facts.of_tokenizer(trainer.processing_class)
        | _of_model(trainer.model)
    )
    if (probe := args.probe_for(trainer.curriculum.method)) is not None:
        options = {name: value for name, value in probe.options.items() if name not in OF_THE_MACHINE}
        refused["probe"] = facts.plain({probe.name: options})
    if (rewards := getattr(trainer, "reward_func_names", None)) is not None:
        refused["reward_funcs"] = [*rewards]
    rows = args.per_device_train_batch_size * args.world_size * args.gradient_accumulation_steps
    size = {name: getattr(args, name) for name in SIZE if hasattr(args, name)}
    return {
        "refused": refused,
        "warned": {name: value for name, value in counted.items() if name not in REFUSED},
        "versions": facts.versions(),
        "size": {"processes": args.world_size, "rows of a step": rows} | size,
    }


def compare(saved: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> tuple[str | None, list[str]]:
    """
    What differs between two [`run_settings`]: why a resume is refused, or `None`, and what to warn of.

    Raises:
        [`StateError`]: where the saved ones are none.
    """
    if not isinstance(saved, dict) or not all(isinstance(saved.get(group), dict) for group in now):
        raise StateError("The checkpoint does not say what its run was made with: an earlier version has written it.")
    found = {group: _differences(saved[group], now[group]) for group in now}
    if found["size"] and saved["size"]["processes"] == now["size"]["processes"]:
        found["refused"] += found["size"]
    elif found["size"]:
        found["warned"] += found["size"]
    reason = None
    if found["refused"]:
        reason = (
            f"The checkpoint was made with {_and(found['refused'])}; resume with the same values, or start a new run "
            "in another output_dir."
        )
    warnings = [f"The checkpoint was made with {text}." for text in found["warned"]]
    if found["versions"]:
        warnings.append(f"The checkpoint was made with other versions ({_and(found['versions'])}).")
    return reason, warnings


def _differences(saved: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is said on both sides and is not the same; what only one side knows is another version's argument."""
    both = [name for name in now if name in saved and saved[name] != now[name]]
    return [f"{name}={saved[name]!r}, and this run has {now[name]!r}" for name in both]


def _and(texts: Sequence[str]) -> str:
    shown = "; ".join(texts[:4])
    return f"{shown}; and {len(texts) - 4} more" if len(texts) > 4 else shown


def _of_model(model: Any) -> dict[str, Any]:
    inner = getattr(model, "module", model)
    named = [(name, str(weight.dtype)) for name, weight in inner.named_parameters()]
    found: dict[str, Any] = {"the model's weights": f"{len(named)} tensors, fingerprint {fingerprint(sorted(named))}"}
    for name, adapter in getattr(inner, "peft_config", {}).items():
        options = {key: value for key, value in adapter.to_dict().items() if key not in UNTOLD_OF_ADAPTERS}
        found |= {f"adapter {name}'s {key}": facts.plain(value) for key, value in options.items()}
    return found
