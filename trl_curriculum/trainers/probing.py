"""What a trainer measures because its curriculum asks for it, with which engine, and what that costs."""

import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import save_torch_state_dict

from ..disk.main_process import on_main_process
from ..lm.engines import VLLM_LOGPROBS, Engine, Sampling, TokenEntropy
from ..lm.transformers_engine import TransformersEngine
from ..lm.vllm_engine import TrainerVLLMEngine
from ..lm.weights import whole_weights
from ..probes import PrefixEntropy, Probe, PromptEntropy, RowLoss
from ..probes.prefix_entropy import prefix_entropy
from ..probes.prompt_entropy import prompt_entropy
from ..probes.prompts import tokenize
from ..probes.scores import Scores
from ..signals import FloatArray, IntArray
from .host import TrainerHost


SAME_WEIGHTS = 0.2  # nats by which an entropy may differ through rounding, at the most


class TrainerProbe:
    """
    Answers what a curriculum wants to know before it draws.

    Args:
        trainer ([`CurriculumMixin`]):
            Whose model is measured.
        host ([`~.host.TrainerHost`]):
            Gives prompts and losses of rows.
        probe ([`~trl_curriculum.probes.Probe`], *optional*):
            What is measured, and how; `None` where the curriculum asks for nothing.
    """

    def __init__(self, trainer: Any, host: TrainerHost, probe: Probe | None) -> None:
        self.trainer, self.host, self.args, self.spec = trainer, host, trainer.args, probe
        self.folder = Path(trainer.args.output_dir) / "curriculum_probe"
        self.tokens, self.seconds = 0, 0.0
        self.engine: Engine | None = None
        self._rounding: float | None = None  # nats by which a server's entropies differ from the trainer's own
        if isinstance(probe, PrefixEntropy | PromptEntropy):
            host.prompts(np.arange(min(1, trainer.pool.size)))  # a dataset without prompts is refused now
        if isinstance(probe, PrefixEntropy):
            self.engine = self._make_engine(probe)

    @property
    def batch_tokens(self) -> int:
        """Tokens of one batch, padding included."""
        return (self.spec or RowLoss()).batch_tokens

    @property
    def settings(self) -> dict[str, Any]:
        """How losses and prompts are measured, for [`~trl_curriculum.lm.losses.row_losses`] and the like."""
        return {
            "batch_tokens": self.batch_tokens,
            "accelerator": self.trainer.accelerator,
            "folder": self.folder,
            "disable_tqdm": self.args.disable_tqdm,
        }

    def measure(self, kind: str, rows: IntArray) -> tuple[FloatArray, Scores | None]:
        """Measures rows of the pool, on all processes together."""
        start = time.monotonic()
        scores = None
        if kind in ("prefix_entropy", "prompt_entropy"):
            scores = self._prefix_entropy(rows) if kind == "prefix_entropy" else self._prompt_entropy(rows)
            value, tokens = scores.value, int(scores.tokens.sum())
        elif kind == "loss":
            value, tokens = self.host.row_loss(rows)
        else:
            raise ValueError(f"A trainer measures 'loss', 'prefix_entropy' and 'prompt_entropy', and not {kind!r}.")
        self.tokens += tokens
        self.seconds += time.monotonic() - start
        return value, scores

    def _prefix_entropy(self, rows: IntArray) -> Scores:
        assert self.engine is not None and isinstance(self.spec, PrefixEntropy)
        prompts = self._tokenize(rows, self.spec)
        if self.engine.name == "server":
            self._give_weights()
            fitting = [ids for ids in prompts if 0 < len(ids) < (self.engine.window or len(ids) + 1)]
            self._check_weights(self.engine, fitting[:8])
        awake = self.engine.awake() if isinstance(self.engine, TrainerVLLMEngine) else nullcontext()
        with awake:
            return prefix_entropy(prompts, self.engine, self.spec, others=self.tokens > 0, **self.settings)

    def _prompt_entropy(self, rows: IntArray) -> Scores:
        assert isinstance(self.spec, PromptEntropy)
        cast = bool(getattr(self.args, "cast_lm_head_to_fp32", False))
        return prompt_entropy(
            self._tokenize(rows, self.spec),
            self.trainer.model,
            self.spec,
            cast_lm_head_to_fp32=cast,
            others=self.tokens > 0,
            **self.settings,
        )

    def _tokenize(self, rows: IntArray, spec: PrefixEntropy | PromptEntropy) -> list[list[int]]:
        """Token ids of the prompts of rows, which are texts, messages or ids already."""
        prompts = self.host.prompts(rows)
        if isinstance(prompts[0], list) and prompts[0] and isinstance(prompts[0][0], int):
            return prompts
        trainer = self.trainer
        return tokenize(
            prompts,
            trainer.processing_class,
            spec,
            getattr(trainer, "chat_template", None),
            getattr(trainer, "tools", None),
            getattr(trainer, "chat_template_kwargs", None),
            self.host.template_options(rows),
        )

    # Engines

    def _make_engine(self, spec: PrefixEntropy) -> Engine:
        trainer, kind, options = self.trainer, spec.back_end, spec.back_end_options or {}
        with_vllm = getattr(trainer, "use_vllm", False)
        if kind == "auto":
            kind = "vllm" if with_vllm else "transformers"
        if kind == "transformers":
            return TransformersEngine.of(trainer)
        if kind == "server":
            return self._make_server(options)
        if not with_vllm:
            if hasattr(trainer, "use_vllm"):
                raise ValueError("back_end='vllm' probes with the trainer's own vLLM: set use_vllm=True.")
            self._start_vllm(options)
        return TrainerVLLMEngine(trainer)

    def _start_vllm(self, given: dict[str, Any]) -> None:
        """Gives a trainer that has none an engine as TRL makes it for GRPO."""
        from trl.generation.vllm_generation import VLLMGeneration

        from .vllm_cpu import reload_weights_on_cpu

        trainer = self.trainer
        on_gpu = trainer.accelerator.device.type != "cpu"
        options = {"enable_sleep_mode": on_gpu, "gpu_memory_utilization": 0.3} | given
        with _random_as_before():
            trainer.vllm_generation = VLLMGeneration(
                model=trainer.model,
                accelerator=trainer.accelerator,
                processing_class=trainer.processing_class,
                **options,
            )
        trainer._last_loaded_step = -1
        reload_weights_on_cpu(trainer.vllm_generation)

    def _make_server(self, given: dict[str, Any]) -> Engine:
        from ..lm.server_engine import ServerEngine

        trainer = self.trainer
        if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled or getattr(trainer.model, "is_quantized", False):
            raise ValueError(
                "back_end='server' writes whole weights for the server, which sharded and quantized models do "
                "not have at hand; use 'transformers' or 'vllm'."
            )
        config = trainer.model.config
        options = {"model": config._name_or_path or None, "vocabulary": config.get_text_config().vocab_size}
        server = ServerEngine(**(options | given))
        server.repair, server.source = self._write_and_load, trainer.model
        return server

    def _give_weights(self) -> None:
        """Has the server load the current weights, of which the main process speaks for all."""
        on_main_process(self._write_and_load)
        self.engine.forget()  # type: ignore[union-attr]

    def _write_and_load(self) -> None:
        folder = self.folder / f"weights-{self.trainer.accelerator.process_index}"
        folder.mkdir(parents=True, exist_ok=True)
        save_torch_state_dict(whole_weights(self.trainer.accelerator.unwrap_model(self.trainer.model)), folder)
        self.engine.load(folder.resolve())  # type: ignore[union-attr]
        shutil.rmtree(folder)

    def _check_weights(self, server: Engine, prompts: list[list[int]]) -> None:
        """Makes sure that the server answers with the weights that it was given."""
        if not prompts:
            return
        first, wanted = Sampling(temperature=0.0, max_new_tokens=1), TokenEntropy(VLLM_LOGPROBS)

        def of(engine: Engine) -> Any:
            answers = engine.complete(prompts, first, [0] * len(prompts), entropy=wanted)
            return np.concatenate([answer.entropies for answer in answers])

        ours, theirs = of(TransformersEngine.of(self.trainer)), of(server)
        worst = int(np.abs(ours - theirs).argmax())
        apart = abs(ours[worst] - theirs[worst])
        if self._rounding is None and apart <= SAME_WEIGHTS:  # the first time, when both have what they started with
            self._rounding = float(apart)
        if not apart <= max(0.02, 3 * (self._rounding or 0.0)):
            raise RuntimeError(
                "The server does not answer with the weights that it was given: the entropy of an answer's first "
                f"token is {theirs[worst]:.3f} nats there and {ours[worst]:.3f} here. Look into its log, or use "
                "another back end."
            )

    # State

    def metrics(self) -> dict[str, float]:
        return {"probe_tokens": float(self.tokens), "probe_seconds": self.seconds} if self.tokens else {}

    def state_dict(self) -> dict[str, Any]:
        return {"probe_tokens": self.tokens, "probe_seconds": self.seconds}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.tokens, self.seconds = state.get("probe_tokens", 0), state.get("probe_seconds", 0.0)


@contextmanager
def _random_as_before() -> Iterator[None]:
    """vLLM seeds the global generators of its process when it starts: training goes on with its own seed."""
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(range(torch.cuda.device_count())):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
