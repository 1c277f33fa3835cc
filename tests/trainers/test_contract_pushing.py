"""What sending a run to the Hub relies on in transformers. A red test names what changed."""

import ast
import inspect
import textwrap
from pathlib import Path
from typing import Any

import pytest
import transformers.trainer
from contracts import changed, parameters, source
from harness import sft_trainer
from transformers import Trainer
from transformers.trainer_callback import ExportableState, TrainerState

from trl_curriculum.trainers.pushing import PublicApi


def uploads(method: Any) -> list[set[str]]:
    """The arguments of each `hf_api().upload_folder(...)` in a method."""
    calls = [node for node in ast.walk(ast.parse(textwrap.dedent(source(method)))) if isinstance(node, ast.Call)]
    found = [call for call in calls if ast.unparse(call.func) == "hf_api().upload_folder"]
    assert not any(call.args for call in found), changed("upload_folder is given arguments without their names")
    return [{str(one.arg) for one in call.keywords} for call in found]


@pytest.mark.parametrize(("method", "n"), [(Trainer.push_to_hub, 1), (Trainer._push_from_checkpoint, 2)])
def test_trainers_send_by_upload_folder_of_hf_api(method: Any, n: int) -> None:
    assert hasattr(transformers.trainer, "hf_api"), changed("transformers.trainer.hf_api is gone")
    found, known = uploads(method), set(parameters(PublicApi.upload_folder))
    assert len(found) == n, changed(f"{method.__name__} no longer sends by hf_api().upload_folder")
    assert all(names <= known for names in found), changed(f"{method.__name__} gives upload_folder other arguments")
    others = {"_push_from_checkpoint", "push_to_hub"}
    senders = {name for name, one in inspect.getmembers(Trainer, inspect.isfunction) if "upload_f" in source(one)}
    assert senders <= others, changed("other methods send files too")


def test_where_things_are_sent_from(tmp_path: Path) -> None:
    text = source(Trainer.push_to_hub)
    assert "self.init_hf_repo(" in text and "folder_path=self.args.output_dir" in text, changed(
        "what push_to_hub does"
    )
    assert text.index("self.create_model_card(") < text.index("upload_folder("), changed("the card is made afterwards")
    assert "path_in_repo=path_in_repo" in source(Trainer._push_from_checkpoint), changed("how checkpoints are sent")


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
