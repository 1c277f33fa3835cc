"""What sending a run to the Hub relies on in transformers. A red test names what changed."""

import inspect
from concurrent.futures import Future
from pathlib import Path

from contracts import changed, parameters, source
from harness import sft_trainer
from transformers import Trainer
from transformers.trainer_callback import ExportableState, TrainerState
from transformers.utils import PushInProgress

from trl_curriculum.trainers.pushing import PushMixin


def test_what_is_sent_while_and_after_training_is_sent_by_two_methods() -> None:
    """Which ours take the place of."""
    senders = {name for name, one in inspect.getmembers(Trainer, inspect.isfunction) if "upload_f" in source(one)}
    assert senders == {"_push_from_checkpoint", "push_to_hub"}, changed("other methods send files too")
    ours, theirs = parameters(PushMixin.push_to_hub), parameters(Trainer.push_to_hub)
    assert ours == theirs, changed("the arguments of push_to_hub")
    assert "self._push_from_checkpoint(output_dir)" in source(Trainer._save_checkpoint), changed("when checkpoints go")


def test_what_pushing_asks_of_the_trainer() -> None:
    begun, ended = source(Trainer.init_hf_repo), source(Trainer._finish_current_push)
    assert "self.hub_model_id = " in begun and "self.push_in_progress = None" in begun, changed("init_hf_repo")
    assert "self.push_in_progress.wait_until_done()" in ended, changed("how a push is waited for")
    done: Future[None] = Future()
    running = PushInProgress([done])  # type: ignore[arg-type]
    assert not running.is_done() and running.jobs == [done], changed("PushInProgress")
    done.set_result(None)
    assert running.is_done(), changed("PushInProgress")


def test_the_token_is_in_the_saved_arguments(tmp_path: Path) -> None:
    """Why these are not sent."""
    run = sft_trainer(tmp_path, hub_token="hf_" + "s" * 34)
    run.save_model()
    assert b"hf_sss" in (tmp_path / "training_args.bin").read_bytes(), changed("training_args.bin hides the token")


def test_callbacks_keep_their_state_in_that_of_the_trainer() -> None:
    assert "stateful_callbacks" in parameters(TrainerState.__init__), changed(
        "TrainerState.stateful_callbacks is gone"
    )
    assert "isinstance(cb, ExportableState)" in source(Trainer._save_checkpoint), changed("whose states are saved")
    assert parameters(ExportableState.state) == ["self"], changed("how a callback gives its state")
