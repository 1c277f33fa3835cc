"""
What TRL's trainers take, and what becomes of it here: every field of their configs and every argument of their
constructors. `docs/reference/trl.md` is written from this; a test names what a new release has added.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Taken:
    """
    What becomes of an argument.

    Args:
        how (`str`):
            `"as in TRL"`; `"adapted"`, where it does what it says in another way; `"in part"`, where some values are
            refused; `"refused"`; or `"no effect"`, where no other rows or weights come of it.
        note (`str`, *optional*):
            One sentence: in what way, or why and what to do.
    """

    how: Literal["as in TRL", "adapted", "in part", "refused", "no effect"]
    note: str = ""


# Taken as in TRL, of both trainers, of GRPO and of SFT, by what they are about.
BOTH = {
    "optimizer and schedule": """
        learning_rate weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm optim optim_args
        optim_target_modules lr_scheduler_type lr_scheduler_kwargs warmup_steps neftune_noise_alpha
        average_tokens_across_devices
    """,
    "length and batches": """
        num_train_epochs max_steps per_device_train_batch_size per_device_eval_batch_size
        gradient_accumulation_steps do_train do_eval do_predict remove_unused_columns
    """,
    "model and precision": """
        model_init_kwargs trust_remote_code router_aux_loss_coef bf16 fp16 bf16_full_eval fp16_full_eval
        tf32 gradient_checkpointing gradient_checkpointing_kwargs activation_checkpointing
        activation_checkpointing_kwargs use_cache use_liger_kernel liger_kernel_config torch_compile
        torch_compile_backend torch_compile_mode pad_to_multiple_of full_determinism use_cpu
        torch_empty_cache_steps
    """,
    "processes": """
        ddp_backend ddp_broadcast_buffers ddp_bucket_cap_mb ddp_find_unused_parameters ddp_static_graph
        ddp_timeout deepspeed fsdp fsdp_config local_rank enable_jit_checkpoint
    """,
    "evaluation": """
        eval_strategy eval_steps eval_delay eval_on_start eval_accumulation_steps eval_do_concat_batches
        eval_use_gather_object batch_eval_metrics include_for_metrics prediction_loss_only label_names
        metric_for_best_model greater_is_better load_best_model_at_end
    """,
    "logging": """
        logging_steps logging_strategy logging_first_step logging_nan_inf_filter log_level log_level_replica
        log_on_each_node report_to run_name project disable_tqdm debug skip_memory_metrics
        include_num_input_tokens_seen trackio_space_id trackio_static_space_id trackio_bucket_id
    """,
    "saving": """
        output_dir save_strategy save_steps save_total_limit save_on_each_node save_only_model
        restore_callback_states_from_checkpoint resume_from_checkpoint
    """,
    "hub": """
        push_to_hub hub_model_id hub_strategy hub_token hub_private_repo hub_always_push hub_revision
    """,
}
GRPO = {
    "generation": """
        num_generations num_generations_eval generation_batch_size steps_per_generation
        max_completion_length temperature top_p top_k min_p repetition_penalty generation_kwargs
        chat_template_kwargs cache_implementation ds3_gather_for_generation
        use_transformers_continuous_batching transformers_continuous_batching_config use_transformers_paged
        max_tool_calling_iterations
    """,
    "vLLM": """
        use_vllm vllm_mode vllm_model_impl vllm_enable_sleep_mode vllm_structured_outputs_regex
        vllm_server_base_url vllm_server_host vllm_server_port vllm_server_timeout vllm_group_port
        vllm_gpu_memory_utilization vllm_max_model_length vllm_tensor_parallel_size
        vllm_importance_sampling_correction vllm_importance_sampling_mode vllm_importance_sampling_clip_max
        vllm_importance_sampling_clip_min vllm_importance_sampling_cap
    """,
    "rewards and loss": """
        beta num_iterations epsilon epsilon_high delta importance_sampling_level reward_weights
        multi_objective_aggregation scale_rewards loss_type mask_truncated_completions top_entropy_quantile
        entropy_coef use_adaptive_entropy entropy_coef_min entropy_coef_max entropy_coef_delta
        entropy_target off_policy_mask_threshold use_bias_correction_kl sapo_temperature_neg
        sapo_temperature_pos vespo_k_pos vespo_lambda_pos vespo_k_neg vespo_lambda_neg ref_model_mixup_alpha
        ref_model_sync_steps disable_dropout cast_lm_head_to_fp32
    """,
    "completions": """
        log_completions log_multimodal num_completions_to_print log_unique_prompts log_completions_hub_repo
    """,
}
SFT = {
    "data": """
        dataset_text_field dataset_kwargs dataset_num_proc chat_template_path eos_token pad_token
        truncation_mode completion_only_loss assistant_only_loss eval_packing
    """,
    "loss": """
        loss_type activation_offloading
    """,
}

TICKS = Taken("no effect", "The dataloader only keeps time; rows are read when the curriculum has picked them.")
BOTH_OTHERS = {
    "seed": Taken("as in TRL", "Seeds the curriculum as well, unless data_seed is set."),
    "data_seed": Taken("adapted", "Seeds the curriculum, which takes the place of TRL's sampler."),
    "train_sampling_strategy": Taken(
        "in part",
        "A curriculum picks the rows: 'sequential' goes with curriculum='order' alone; 'group_by_length' and "
        "'batch_rebalance' with none (packing saves the padding).",
    ),
    "accelerator_config": Taken(
        "in part", "split_batches and dispatch_batches alone: every process picks its own rows. The rest as in TRL."
    ),
    "parallelism_config": Taken(
        "in part",
        "Tensor, context and sequence parallelism: several processes would share rows. Data parallelism works.",
    ),
    "ignore_data_skip": Taken(
        "adapted",
        "The curriculum's saved state says which rows come next, so that none is skipped or repeated; GRPO is "
        "not resumed exactly with True, since random numbers differ.",
    ),
    "dataloader_drop_last": Taken("adapted", "Counts the optimizer steps of an epoch, as in TRL; no row is dropped."),
    "dataloader_num_workers": TICKS,
    "dataloader_prefetch_factor": TICKS,
    "dataloader_persistent_workers": TICKS,
    "dataloader_multiprocessing_context": TICKS,
    "dataloader_in_order": TICKS,
    "dataloader_pin_memory": Taken("no effect", "Batches are made in the training process, from rows already picked."),
    "length_column_name": Taken(
        "no effect", "Belongs to train_sampling_strategy='group_by_length', which is refused."
    ),
    "label_smoothing_factor": Taken(
        "in part", "With shaping alone, which weighs tokens that this loss does not show."
    ),
}
GRPO_OTHERS = {
    "shuffle_dataset": Taken("in part", "False asks for the dataset's order: it goes with curriculum='order' alone."),
    "auto_find_batch_size": Taken("refused", "TRL refuses it for GRPO."),
    "sync_ref_model": Taken("as in TRL", "TRL does not save the synchronised model, so that a resume is not exact."),
}
SFT_OTHERS = {
    "packing": Taken("adapted", "Rows are drawn first and packed then, filled best-fit over the optimizer step."),
    "packing_strategy": Taken(
        "in part", "'wrapped' and 'bfd_split' cut rows into pieces, whose loss belongs to no row; 'bfd' works."
    ),
    "padding_free": Taken("as in TRL", "A model whose sequences see each other is found at the start and refused."),
    "max_length": Taken(
        "as in TRL", "Packing needs one: a batch holds per_device_train_batch_size x max_length tokens."
    ),
    "shuffle_dataset": Taken(
        "in part", "True contradicts curriculum='order'; with any other it changes nothing but the draws."
    ),
    "auto_find_batch_size": Taken(
        "refused", "It starts over with smaller batches, after the curriculum has seen rows: set the batch size."
    ),
}

COMMON_ARGUMENTS = {
    "model": Taken("in part", "Vision-language models alone; a name, a model or a PeftModel as in TRL."),
    "args": Taken(
        "adapted",
        "Our config, TRL's (whose curriculum is uniform, or the constructor's), or None; of SFT TrainingArguments.",
    ),
    "train_dataset": Taken(
        "in part",
        "A datasets.Dataset as in TRL, or streams, of which each is an arm. Not: no dataset, images.",
    ),
    "eval_dataset": Taken("as in TRL", "Of several sets, the metrics have the set's name."),
    "processing_class": Taken("as in TRL"),
    "callbacks": Taken("as in TRL"),
    "optimizers": Taken("as in TRL", "A scheduler of one's own does not go with max_tokens of SFT."),
    "quantization_config": Taken("as in TRL"),
    "peft_config": Taken("as in TRL"),
}
GRPO_ARGUMENTS = COMMON_ARGUMENTS | {
    "reward_funcs": Taken("as in TRL", "Functions, asynchronous ones, callable objects, models and names of models."),
    "reward_processing_classes": Taken("as in TRL"),
    "tools": Taken("as in TRL"),
    "rollout_func": Taken("as in TRL"),
    "environment_factory": Taken(
        "as in TRL", "One or several, over the rows of a train_dataset, which it needs here."
    ),
}
SFT_ARGUMENTS = COMMON_ARGUMENTS | {
    "data_collator": Taken("as in TRL"),
    "compute_loss_func": Taken("in part", "With shaping alone, which weighs tokens that it does not show."),
    "compute_metrics": Taken("as in TRL"),
    "preprocess_logits_for_metrics": Taken("as in TRL"),
    "optimizer_cls_and_kwargs": Taken("as in TRL"),
    "formatting_func": Taken("as in TRL"),
}


def _plain(*topics: dict[str, str]) -> dict[str, Taken]:
    return {name: Taken("as in TRL") for topic in topics for names in topic.values() for name in names.split()}


FIELDS = {
    "GRPOConfig": _plain(BOTH, GRPO) | BOTH_OTHERS | GRPO_OTHERS,
    "SFTConfig": _plain(BOTH, SFT) | BOTH_OTHERS | SFT_OTHERS,
}
ARGUMENTS = {"GRPOTrainer": GRPO_ARGUMENTS, "SFTTrainer": SFT_ARGUMENTS}
