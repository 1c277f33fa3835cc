"""GRPO whose rows are chosen at the moment they are generated from."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import gather, gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from trl import GRPOTrainer

from ..curricula import Curriculum
from ..lm.losses import head_at_temperature_1, row_losses
from ..pool import check_column
from ..signals import SHOWS, Feedback, FloatArray, IntArray
from .checks import refuse_parallelism, refuse_unsupported, refuse_vision, refuse_void, say_what_was_not_tried
from .config import CurriculumGRPOConfig, own_config
from .mixin import CurriculumMixin, Ticks
from .vllm_cpu import reload_weights_on_cpu


logger = logging.getLogger(__name__)

ROW, DRAW = "curriculum_row", "curriculum_draw"  # which row and draw a rollout answers, carried along with it


class CurriculumGRPOTrainer(CurriculumMixin, GRPOTrainer):
    """
    [`~trl.GRPOTrainer`] in which a curriculum picks the prompts of every generation batch, right before generating.

    The dataloader only keeps time. Feedback is never stale: when rows are drawn, all earlier rollouts were observed.

    Args:
        model, reward_funcs, args, train_dataset, ...:
            As in [`~trl.GRPOTrainer`]; `args` is a [`CurriculumGRPOConfig`].
        curriculum (`str`, `type[Curriculum]` or [`Curriculum`], *optional*):
            Overrides `args.curriculum`: a name, a class, or an instance made over the same rows.

    Example:

    ```python
    from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer

    trainer = CurriculumGRPOTrainer(
        model="Qwen/Qwen2.5-3B",
        reward_funcs=accuracy,
        args=CurriculumGRPOConfig(curriculum="sec", arm_column=["level"], curriculum_kwargs={"tau": 0.4}),
        train_dataset=dataset,
    )
    trainer.train()
    ```
    """

    _tag_names = ["trl", "grpo", "trl-curriculum"]
    _name = "Curriculum GRPO"
    shows = SHOWS["GRPO"]

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: CurriculumGRPOConfig | None = None,
        train_dataset: Any = None,
        *positional: Any,
        curriculum: str | type[Curriculum] | Curriculum | None = None,
        **kwargs: Any,
    ) -> None:
        args = own_config(args, model, CurriculumGRPOConfig, "CurriculumGRPOTrainer", "GRPO")
        refuse_unsupported(args, train_dataset)
        refuse_void(args, remove_unused_columns=False, shuffle_dataset=True)
        if args.answer_column is not None:
            check_column(args.answer_column, train_dataset.column_names, "answer_column")
        self._set_up_curriculum(curriculum, args, train_dataset)
        super().__init__(model, reward_funcs, args, train_dataset, *positional, **kwargs)
        if self.use_vllm:
            reload_weights_on_cpu(self.vllm_generation)
        refuse_parallelism(self.accelerator.parallelism_config)
        refuse_vision(self._is_vlm)
        say_what_was_not_tried(self)
        self._group_size: int = self.args.num_generations  # rollouts a prompt (G)
        self._prompts_per_generation = self.args.generation_batch_size // self._group_size
        self._warn_of_small_arms(self._prompts_per_generation)
        self._follows_prefixes = "prefix_entropy" in self.curriculum.uses
        self._prefixes: list[tuple[torch.Tensor, torch.Tensor]] = []  # of the optimizer step so far
        self._set_up_probe()

    def get_train_dataloader(self) -> Any:
        # TRL's own sampler over ticks: epochs and steps count as in stock TRL, and no row is read twice. A dataset
        # smaller than a generation batch still gives one, in which rows repeat.
        rows = self.train_dataset
        self.train_dataset = Ticks(max(len(rows), self._prompts_per_generation))
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = rows

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        group, n = self._group_size, len(inputs)
        draw = self._draw(n * self.accelerator.num_processes // group)
        self._will_train_on(draw)
        rows = np.repeat(draw.row, group)
        parts = np.split(rows, self.accelerator.num_processes)
        mine = parts[self.accelerator.process_index]
        # One read per rollout, as stock TRL does it: each gets its own copy, since rollout_func may write into it.
        output = super()._generate_and_score_completions(self.train_dataset.__getitems__(mine.tolist()))
        lengths = torch.tensor(self._completion_lengths, device=output["advantages"].device)
        advantage, length = self._gather_checked(parts, output["advantages"], lengths)
        reward = self._combined_rewards()
        feedback = Feedback(
            row=rows,
            draw=np.repeat(draw.id, group),
            step=self.state.global_step,
            reward=reward,
            advantage=np.where(self._comparable(reward), advantage, np.nan),
            length=length.astype(np.int64),
        )
        self._observe(draw, feedback)
        if self._follows_prefixes:  # entropies come with the loss, when TRL has shuffled the rollouts
            own = slice(self.accelerator.process_index * n, (self.accelerator.process_index + 1) * n)
            for name, value in ((ROW, feedback.row), (DRAW, feedback.draw)):
                output[name] = torch.as_tensor(value[own], device=output["advantages"].device)
        return output

    # Entropies of the rollouts' first tokens: a second signal of the same draws, for curricula that use it.

    def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
        result = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        self._token_entropies = result[1]
        return result

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self._follows_prefixes and self.model.training:
            if self._step % self._window_steps < self.args.steps_per_generation:  # trained on for the first time
                self._see_prefixes(inputs)
            if self.accelerator.sync_gradients and self._prefixes:
                self._observe_prefixes()
        self._token_entropies = None
        return loss

    def _see_prefixes(self, inputs: dict[str, Any]) -> None:
        mask = inputs["completion_mask"] * inputs.get("tool_mask", 1)
        entropies = self._token_entropies.detach().double()
        score = [
            self._probe.spec.score(one[kept.bool()].cpu().numpy()) for one, kept in zip(entropies, mask, strict=True)
        ]
        where = torch.stack([inputs[ROW], inputs[DRAW]], dim=1)
        self._prefixes.append((where, torch.tensor(score, device=where.device, dtype=torch.float32)))

    def _observe_prefixes(self) -> None:
        where, score = (gather(torch.cat(part)).cpu().numpy() for part in zip(*self._prefixes, strict=True))
        self._prefixes = []
        order = np.argsort(where[:, 1], kind="stable")
        row, draw = where[order].T
        score = score[order].astype(np.float64)
        self.curriculum.observe(Feedback(row=row, draw=draw, step=self.state.global_step, prefix_entropy=score))

    # Probes

    def _prompts(self, rows: Any) -> list[Any]:
        return [row["prompt"] for row in self.train_dataset.__getitems__(np.asarray(rows).tolist())]

    def _loss_of(self, rows: IntArray) -> tuple[FloatArray, int]:
        column: Any = self.args.answer_column
        texts = self.train_dataset.select_columns([column]).__getitems__(rows.tolist())
        answers = [self._tokenizer(str(row[column]), add_special_tokens=False)["input_ids"] for row in texts]
        prompts, _, _ = self._tokenize_prompts(self._prompts(rows))
        tokenized = [
            {"input_ids": prompt + answer, "labels": [-100] * len(prompt) + answer}
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        with head_at_temperature_1(self):
            loss = row_losses(
                self.model,
                tokenized,
                self.args.probe_batch_tokens,
                fused=True,
                accelerator=self.accelerator,
                folder=self._probe.folder,
                disable_tqdm=self.args.disable_tqdm,
            )
        return loss, sum(map(len, prompts)) + sum(map(len, answers))

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        # The completion mask does not tell lengths: TRL clears it where mask_truncated_completions is set.
        self._completion_lengths = [len(ids) for ids in completion_ids_list]
        self._rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._rewards_per_func  # gathered: (rollouts of all processes, functions)

    def _combined_rewards(self) -> FloatArray:
        """Weighted sum over reward functions of every process's rollouts; NaN where none applied."""
        rewards = self._rewards_per_func.detach().to("cpu", torch.float64)
        total = (rewards * self.reward_weights.to(rewards)).nansum(dim=1)
        total[rewards.isnan().all(dim=1) | ~total.isfinite()] = torch.nan
        return total.numpy()

    def _comparable(self, reward: FloatArray) -> np.ndarray:
        """Whether a rollout was scored and has another scored one in its group: an advantage needs both."""
        scored = np.isfinite(reward).reshape(-1, self._group_size)
        return (scored & (scored.sum(axis=1, keepdims=True) > 1)).ravel()

    # State: inside a generation window the rollouts that are still to be trained on belong to it.

    @property
    def _window_steps(self) -> int:
        return self.args.steps_per_generation * self.num_iterations

    @property
    def _window(self) -> dict[str, int]:
        """What an open window must have in common with the run that continues it."""
        names = ("world_size", "steps_per_generation", "num_iterations", "num_generations", "generation_batch_size")
        return {name: getattr(self.args, name) for name in names}

    def _trainer_state(self) -> dict[str, Any]:
        return super()._trainer_state() | {"micro_step": self._step, "window": self._window}

    def _save_process_state(self, folder: Path) -> None:
        if self._step % self._window_steps == 0 or self._buffered_inputs is None:
            return
        tensors = {}
        for i, batch in enumerate(self._buffered_inputs):
            for name, value in batch.items():
                if value is not None:
                    tensors[f"{i}/{name}"] = torch.as_tensor(value).contiguous().clone()
        file = _buffer_file(folder, self.args.process_index)
        save_file(tensors, file.with_suffix(".tmp"))
        os.replace(file.with_suffix(".tmp"), file)

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        super()._start_from(checkpoint, state)
        self._prefixes = []
        self._step = 0
        self._buffered_inputs: list[dict[str, Any]] | None = None  # type: ignore[assignment]
        if checkpoint is None:
            return
        saved = state["window"]
        if state["micro_step"] % (saved["steps_per_generation"] * saved["num_iterations"]) == 0:
            return  # between two windows there is nothing to continue
        changed = [
            f"{name} was {saved[name]} and is {now}" for name, now in self._window.items() if saved[name] != now
        ]
        buffer = self._load_buffer(checkpoint) if not changed else None
        if not changed and not all(gather_object([buffer is not None])):
            changed = ["the rollouts of a process are missing"]
        if changed:
            logger.warning("The open generation window is generated anew: %s.", "; ".join(changed))
        else:
            self._step = state["micro_step"]
            self._buffered_inputs = buffer

    def _load_buffer(self, checkpoint: Path) -> list[dict[str, Any]] | None:
        file = _buffer_file(checkpoint, self.args.process_index)
        try:
            tensors = load_file(file)
        except (OSError, SafetensorError) as error:
            logger.warning("Cannot read %s: %s", file, error)
            return None
        batches: list[dict[str, Any]] = [{} for _ in range(self.args.steps_per_generation)]
        for key, value in tensors.items():
            index, name = key.split("/", 1)
            batches[int(index)][name] = value.to(self.accelerator.device)
        return batches


def _buffer_file(folder: Path, rank: int) -> Path:
    return folder / f"generation_buffer_{rank}.safetensors"
