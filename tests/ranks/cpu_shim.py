"""
Lets accelerate take a CPU process group (gloo) for what it otherwise does on accelerators only: FSDP2 and DeepSpeed.

`install()` comes before a trainer is made, in every process. For tests only.
"""

import os
import sys
from typing import Any

from accelerate import state
from accelerate.utils import DistributedType


def _prepare_backend(self: Any, *args: Any, **kwargs: Any) -> tuple[str | None, DistributedType]:
    if int(os.environ.get("LOCAL_RANK", -1)) == -1:
        return None, DistributedType.NO
    return "gloo", DistributedType.MULTI_GPU


def install(deepspeed: bool) -> None:
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # PartialState takes this and never calls cuda.set_device
    os.environ["DS_ACCELERATOR"] = "cpu"
    state.PartialState._prepare_backend = _prepare_backend  # type: ignore[method-assign]
    if deepspeed:  # it would compile a C++ operator for shared memory (minutes); gloo does without it
        import deepspeed.comm.torch

        sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]
