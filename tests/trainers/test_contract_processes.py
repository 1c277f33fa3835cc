"""What of torch and accelerate a run of several processes hangs on, as far as it is private or may move."""

import inspect
from datetime import timedelta
from pathlib import Path

import torch.distributed as dist
from accelerate import Accelerator, FullyShardedDataParallelPlugin, PartialState
from accelerate.state import AcceleratorState
from contracts import changed, parameters


def test_how_long_a_group_waits_can_be_set(tmp_path: Path) -> None:
    assert parameters(dist.distributed_c10d._set_pg_timeout) == ["timeout", "group"], changed("torch's time limit")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        dist.distributed_c10d._set_pg_timeout(timedelta(seconds=7))
        backend = dist.distributed_c10d._get_default_group()._get_backend(
            dist.distributed_c10d._get_pg_default_device()
        )
        assert backend.options._timeout == timedelta(seconds=7), changed("what torch's time limit is of")
    finally:
        dist.destroy_process_group()


def test_a_lost_process_is_an_error_of_torch() -> None:
    assert issubclass(dist.DistError, RuntimeError), changed("the error of torch that a lost process raises")


def test_the_state_of_accelerate_can_be_made_anew() -> None:
    Accelerator(cpu=True)
    known = PartialState._shared_state.copy()
    AcceleratorState._reset_state()
    assert not AcceleratorState._shared_state, changed("accelerate's state, which the next stage's plugin needs anew")
    assert PartialState._shared_state == known, changed("accelerate's state no longer leaves the processes alone")


def test_fsdp_can_be_told_to_give_whole_weights() -> None:
    assert "state_dict_type" in inspect.signature(FullyShardedDataParallelPlugin.set_state_dict_type).parameters
    plugin = FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="SHARDED_STATE_DICT")
    before = plugin.state_dict_type
    plugin.set_state_dict_type("FULL_STATE_DICT")
    assert "FULL" in str(plugin.state_dict_type), changed("the state_dict_type of FSDP")
    plugin.set_state_dict_type(before)
    assert plugin.state_dict_type == before, changed("setting back the state_dict_type of FSDP")
