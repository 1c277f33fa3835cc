"""GRPO whose rows are chosen at the moment they are generated from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from trl import GRPOTrainer

from ..data.columns import check_column
from ..data.rendered import first_prompt
from ..pool import Pool
from ..rewards.returned import guarded
from ..signals import FloatArray, IntArray, Rollouts
from .agreement import check_arguments
from .arguments import own_config
from .attended import attention_of, refuse_unattended
from .checks import (
    refuse_other_orders,
    refuse_parallelism,
    refuse_unevaluated,
    refuse_unsupported,
    refuse_vision,
    say_what_was_not_tried,
)
from .clock import ClockDataset
from .config import CurriculumGRPOConfig
from .content import columns_of_grpo
from .fit import refuse_own_generation, refuse_unknown_outcome
from .found import golds_line, prompt_lines, quoted
from .grpo_checks import GRPOChecks
from .grpo_host import GRPOHost
from .grpo_streams import StreamedPrompts
from .late_entropy import LatePrefixEntropy, label
from .making import MakingMixin
from .mixin import CurriculumMixin
from .open_window import OpenWindow
from .outlook import refuse_one_arm
from .reward_watch import RewardWatch
from .row_checks import with_roles_in
from .sizes import Run, grpo_run
from .vllm_cpu import reload_weights_on_cpu


class CurriculumGRPOTrainer(CurriculumMixin, MakingMixin, GRPOTrainer):
    """
    [`~trl.GRPOTrainer`] in which a curriculum picks the prompts of every generation batch, right before generating.

    The dataloader only keeps time. Feedback is never stale: when rows are drawn, all earlier rollouts were observed.
    `train_dataset` may be streams: a `datasets.IterableDataset`, or several by their names, each of which is an arm
    (see [`~.streamed.StreamedRows`]).

    Args:
        model, reward_funcs, args, train_dataset, ...:
            As in [`~trl.GRPOTrainer`]; `args` is a [`CurriculumGRPOConfig`], or a [`~trl.GRPOConfig`], whose
            curriculum is `uniform` unless one is given here.
        curriculum (`str`, `dict` or [`~trl_curriculum.curricula.CurriculumMethod`], *optional*):
            Overrides `args.curriculum`.
        rollouts, shaping (`list`, *optional*):
            Override `args.rollouts` and `args.shaping`; here [`~trl_curriculum.rollouts.RolloutMethod`]s and
            [`~trl_curriculum.shaping.Shaper`]s can be given.

    Example:

    ```python
    from trl_curriculum import CurriculumGRPOConfig, CurriculumGRPOTrainer

    trainer = CurriculumGRPOTrainer(
        model="Qwen/Qwen2.5-3B",
        reward_funcs=accuracy,
        args=CurriculumGRPOConfig(curriculum={"sec": {"tau": 0.4}}, arms=["level"]),
        train_dataset=dataset,
    )
    trainer.train()
    ```
    """

    _tag_names = ["trl", "grpo", "trl-curriculum"]

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: CurriculumGRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *positional: Any,
        curriculum: Any = None,
        rollouts: Any = None,
        shaping: Any = None,
        **kwargs: Any,
    ) -> None:
        args = own_config(args, model, CurriculumGRPOConfig, "CurriculumGRPOTrainer", "GRPO")
        refuse_unsupported(args, train_dataset)
        self.streams = StreamedPrompts.of(args, train_dataset)
        train_dataset = train_dataset if self.streams is None else self.streams.head  # which stands for all their rows
        train_dataset, eval_dataset = (with_roles_in(rows, ("prompt",)) for rows in (train_dataset, eval_dataset))
        if args.answer_column is not None:
            check_column(args.answer_column, train_dataset.column_names, "answer_column")
        refuse_unevaluated(args, eval_dataset, bool(kwargs.get("compute_metrics")))
        check_arguments(args, train_dataset, eval_dataset)
        self.host = GRPOHost(self)
        method, made = self._method(curriculum, args), self._rollouts_and_shapers(rollouts, shaping, args)
        refuse_other_orders(args, method)
        # Mistakes in columns, rows and rewards are found before a model is loaded.
        environment = len(positional) > 0 or kwargs.get("environment_factory") is not None
        own_rollouts = kwargs.get("rollout_func") is not None
        refuse_own_generation(made[0], kwargs)
        refuse_unattended(made[1], attention_of(model, args), args)
        checks = GRPOChecks(train_dataset, eval_dataset, reward_funcs, args, environment, own_rollouts, made)
        given = checks.rows.dataset
        streamed = None if self.streams is None else self.streams.make_pool(args, made)
        pool = streamed or Pool.from_dataset(given, args.arms, args.difficulty_column, hash_rows=False)
        refuse_one_arm(method.bind(pool), args)
        self._rewards_as_given = checks.reward_funcs
        super().__init__(model, reward_funcs, args, given, checks.eval_dataset, *positional, **kwargs)
        self.prompts, self.eval_dataset = checks.check_prompts(self)
        self.train_dataset = self.prompts.rows.dataset
        content = None if own_rollouts else columns_of_grpo(args, reward_funcs, train_dataset.column_names)
        self._set_up(method, made, args, self.train_dataset, self.prompts.rows.position, train_dataset, content)
        self._set_up_making()
        self._scored: IntArray | None = None  # rows of the user's dataset whose completions are being scored
        self.reward_funcs = [guarded(function, self._row_scored) for function in self.reward_funcs]
        self._reward_watch = RewardWatch(self.accelerator.is_main_process)
        if self.use_vllm:
            reload_weights_on_cpu(self.vllm_generation)
        refuse_parallelism(self.accelerator.parallelism_config)
        refuse_vision(self._is_vlm)
        refuse_unknown_outcome(made[0] + made[1], self.reward_func_names)
        say_what_was_not_tried(self)
        group, batch = args.num_generations, args.generation_batch_size
        assert group is not None and batch is not None  # TRL has set them
        self._prompts_per_generation = batch // group
        removes = args.remove_unused_columns  # then rewards see the prompt alone, as in TRL
        self._read = self._remove_unused_columns(self.train_dataset, "training") if removes else self.train_dataset
        if self.streams is not None:
            self._read = self.streams.read_for(self)
        self._window = OpenWindow(args, self.accelerator.device)
        self._set_up_probe(self._prompts_per_generation)
        wants = self.curriculum.method.wants
        self._late = LatePrefixEntropy(args.prefix_entropy) if "prefix_entropy" in wants else None

    def _run(self) -> Run:
        return grpo_run(self.args, self.pool.size, self.accelerator.num_processes)

    @property
    def left_out(self) -> int | None:
        return None if self.streams is not None else self.prompts.rows.size - self.pool.size

    @property
    def found(self) -> dict[str, str]:
        rows, length = self.prompts.rows, self.prompts.length
        lines = golds_line(self._rewards_as_given, rows.dataset, rows.position)
        if len(length):
            options: Any = (self._tokenizer, self.chat_template, self.tools, self.chat_template_kwargs)
            longest = int(length.max()), int(rows.position[length.argmax()])
            if self.streams is None:  # of streams these are the first rows alone
                lines |= prompt_lines(*longest, self.prompts.window, self.args)
            lines |= {"first row": quoted(first_prompt(self.rewritten([rows.dataset[0]], [0]), *options))}
        return lines

    def get_train_dataloader(self) -> Any:
        # TRL's own sampler over ticks: epochs and steps count as in stock TRL, and no row is read twice. A dataset
        # smaller than a generation batch still gives one, in which rows repeat.
        rows = self.train_dataset
        size = len(rows) if self.streams is None else self.streams.draws
        self.train_dataset = ClockDataset(max(size, self._prompts_per_generation))
        try:
            return super().get_train_dataloader()
        finally:
            self.train_dataset = rows

    def train(self, *args: Any, **kwargs: Any) -> Any:
        output = super().train(*args, **kwargs)
        self._reward_watch.finish()
        return output

    # Rollouts

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        if not self.model.training:
            return super()._generate_and_score_completions(inputs)
        n = len(inputs) * self.accelerator.num_processes // self.args.num_generations
        output, rollouts = self.refilling.generate(self._draw_and_score, n)
        self.shaping.shape_rollouts(output, rollouts)
        return self._finished(output, rollouts)

    def _draw_and_score(self, n: int) -> tuple[dict[str, Any], Rollouts]:
        """Draws, generates and scores `n` groups: what TRL makes of this process's, and the rollouts of all."""
        group, world = self.args.num_generations, self.accelerator.num_processes
        draw = self.refilling.draw(self.conductor, n)
        self.conductor.will_train_on(draw)
        rows = np.repeat(draw.row, group)
        parts = np.split(rows, world)
        # One read per rollout, as stock TRL does it: each gets its own copy, since rollout_func may write into it.
        mine = parts[self.accelerator.process_index].tolist()
        generate, position = super()._generate_and_score_completions, self.conductor.position
        self._scored = np.asarray(mine) if position is None else position[mine]
        if self.streams is not None:
            self.streams.drawn(draw.row)
        with self._heated():
            output = self.shaping.score(generate, self.rewritten(self._read.__getitems__(mine), mine))
        made = torch.tensor(self._made, device=output["advantages"].device)
        advantage, length, truncated = self.conductor.gather_checked(parts, output["advantages"], *made)
        rewards, reward = self._rewards()
        self._reward_watch.see(rewards, self._given[2][0], self._given[0][0])
        rollouts = Rollouts(
            row=rows,
            draw=np.repeat(draw.id, group),
            step=self.state.global_step,
            progress=self.host.progress(),
            reward=reward,
            advantage=advantage,
            length=length.astype(np.int64),
            rewards=rewards,
            scale=self.scale_rewards,  # type: ignore[arg-type]
            truncated=truncated > 0,
        )
        # TRL gives a rollout without a reward or a scored peer the advantage 0, which would read as *solved*.
        seen = np.where(self._comparable(reward), advantage, np.nan)
        self.conductor.observe(draw, replace(rollouts, advantage=seen))
        rollouts, self._scored = self._cut(output, rollouts), None
        if self._late is not None or self.shaping.shapes_tokens:
            own = slice(self.accelerator.process_index * len(mine), (self.accelerator.process_index + 1) * len(mine))
            label(output, rollouts, own)
        return output, rollouts

    def _calculate_rewards(
        self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: list[list[int]]
    ) -> torch.Tensor:
        # The completion mask does not tell lengths: TRL clears it where mask_truncated_completions is set.
        ends = {*self.eos_token_ids, self._tokenizer.pad_token_id}
        cut = [ends.isdisjoint(ids[-1:]) for ids in completion_ids_list]  # as TRL's completions/clipped_ratio counts
        self._made = [len(ids) for ids in completion_ids_list], cut
        self.shaping.read(completions)
        self._given = inputs, prompts, completions, completion_ids_list
        self._rewards_per_func = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        return self._rewards_per_func  # gathered: (rollouts of all processes, functions)

    def _row_scored(self, completion: int) -> int | None:
        return None if self._scored is None else int(self._scored[completion])

    def _rewards(self) -> tuple[dict[str, FloatArray], FloatArray]:
        """Rewards of every process's rollouts: of each function, and their weighted sum; NaN where none applied."""
        rewards = self._rewards_per_func.detach().to("cpu", torch.float64)
        total = (rewards * self.reward_weights.to(rewards)).nansum(dim=1)
        total[rewards.isnan().all(dim=1) | ~total.isfinite()] = torch.nan
        named = zip(self.reward_func_names, rewards.T.numpy(), strict=True)
        return {name: np.where(np.isfinite(column), column, np.nan) for name, column in named}, total.numpy()

    def _comparable(self, reward: FloatArray) -> np.ndarray:
        """Whether a rollout was scored and has another scored one in its group: an advantage needs both."""
        scored = np.isfinite(reward).reshape(-1, self.args.num_generations)
        return (scored & (scored.sum(axis=1, keepdims=True) > 1)).ravel()

    # Tokens, and a late signal of theirs

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return self.shaping.loss(super()._compute_loss, model, inputs)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        result = self.shaping.forward(super()._get_per_token_logps_and_entropies, model, *args, **kwargs)
        if self._late is not None:
            self._late.token_entropies = result[1]
        return result

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if self._late is not None and self.model.training:
            if self._window.is_first_pass(self._step):
                self._late.see(inputs)
            if self.accelerator.sync_gradients and (seen := self._late.take()) is not None:
                row, draw, score = seen
                self.curriculum.observe_late(row, draw, prefix_entropy=score)
            self._late.token_entropies = None
        return loss

    # State

    def _trainer_state(self) -> dict[str, Any]:
        places = {} if self.streams is None else {"streams": self.streams.state_dict()}
        return super()._trainer_state() | self._window.state_dict(self._step) | places

    def _save_process_state(self, folder: Path) -> None:
        self._window.save(folder, self._step, self._buffered_inputs)

    def _start_from(self, checkpoint: Path | None, state: dict[str, Any]) -> None:
        super()._start_from(checkpoint, state)
        if self.streams is not None and checkpoint is not None:
            self.streams.load_state_dict(state.get("streams"))
        if self._late is not None:
            self._late.clear()
        self._step, self._buffered_inputs = self._window.load(checkpoint, state)  # type: ignore[assignment]
