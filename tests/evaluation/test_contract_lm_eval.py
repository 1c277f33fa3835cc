"""One test a hook: what this package relies on in lm-eval beyond its documented functions."""

import ast
import copy
import inspect
from pathlib import Path
from typing import Any

import lm_eval
import lm_eval.tasks
import pytest
import tiny
import torch
from lm_eval.api import metrics
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers.trainer_callback import CallbackHandler, TrainerControl, TrainerState

from trl_curriculum.evaluation.models import ADAPTER


OWN = Path(__file__).parent / "own_tasks"
THEIRS = Path(lm_eval.tasks.__file__).parent


def changed(what: str) -> str:
    return f"lm-eval {lm_eval.__version__} changed under trl_curriculum: {what}"


@pytest.fixture(scope="module")
def manager() -> Any:
    return TaskManager(include_path=[OWN, THEIRS / "humaneval"], include_defaults=False)


def test_the_index_names_functions_without_importing_them(manager: Any) -> None:
    cfg = manager.task_index["humaneval"].cfg
    assert cfg["metric_list"][0]["metric"] == str(THEIRS / "humaneval" / "utils.pass_at_k"), changed("the index")
    assert cfg["unsafe_code"] is True, changed("how code tasks are marked")
    assert manager.task_index["humaneval"].yaml_path.is_relative_to(THEIRS), changed("where the index keeps paths")


def test_a_task_is_made_of_a_mapping_with_functions(manager: Any) -> None:
    def rows(**metadata: Any) -> Any:
        return {"test": tiny.dataset(3)}

    config = {"task": "given", "custom_dataset": rows, "test_split": "test", "doc_to_text": "prompt"}
    loaded = manager.load([config | {"doc_to_target": "letter", "unsafe_code": True}])
    assert set(loaded) >= {"tasks", "groups", "group_map"}, changed("what load returns")
    task = loaded["tasks"]["given"]
    assert task.UNSAFE_CODE and task.config.process_results is None, changed("attributes of tasks")
    task.set_config("num_fewshot", 0)
    task.set_fewshot_seed(seed=1)
    assert task.get_config("num_fewshot") == 0, changed("how a task's configuration is set")


def test_evaluate_returns_metrics_by_name_and_filter(manager: Any) -> None:
    loaded = manager.load(["letters_choice"])
    lm = HFLM(pretrained=tiny.model(), tokenizer=tiny.tokenizer())
    for task in loaded["tasks"].values():
        task.set_config("num_fewshot", 0)
    found = lm_eval.evaluate(lm=lm, task_dict=loaded, limit=3, log_samples=False)
    assert {"acc,none", "acc_stderr,none"} < found["results"]["letters_choice"].keys(), changed("names of metrics")
    assert found["n-samples"]["letters_choice"]["effective"] == 3, changed("numbers of rows")
    assert found["n-shot"] == {"letters_choice": 0} and "letters_choice" in found["versions"], changed("what it tells")
    assert found["configs"]["letters_choice"]["metric_list"][0]["metric"] == "acc", changed("configurations")


def test_a_model_that_is_given_stays_as_it_is() -> None:
    model, tokenizer = tiny.model(), tiny.tokenizer()
    model.train()
    before = {name: (p.data_ptr(), p.detach().clone()) for name, p in model.named_parameters()}
    configs = copy.deepcopy((model.config.to_dict(), model.generation_config.to_dict()))
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=2)
    assert (lm.rank, lm.world_size) == (0, 1), changed("a given model is evaluated by one process")
    assert lm.max_length == 128, changed("the model's window")
    assert lm.model is model and not model.training, changed("a given model is not copied, and does not train")
    ids = torch.tensor([[3, 4, 5]])
    lm._model_generate(context=ids, max_length=6, stop=[], attention_mask=torch.ones_like(ids))
    for name, p in model.named_parameters():
        assert p.data_ptr() == before[name][0] and torch.equal(p, before[name][1]), changed("weights are touched")
    assert (model.config.to_dict(), model.generation_config.to_dict()) == configs, changed("configurations are set")


def test_models_are_made_by_name_and_take_adapters() -> None:
    assert get_model("hf") is HFLM, changed("the name of a back end")
    arguments = inspect.signature(HFLM.__init__).parameters
    wanted = {"pretrained", "tokenizer", "revision", "dtype", "device", "batch_size", "mixed_precision_dtype"}
    assert wanted | {ADAPTER["hf"], "trust_remote_code"} <= arguments.keys(), changed("arguments of HFLM")
    tree = ast.parse((THEIRS.parent / "models" / "vllm_causallms.py").read_text())  # vLLM need not be installed
    made = next(one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef) and one.name == "__init__")
    wanted = {"pretrained", "tokenizer", "revision", "dtype", "batch_size", "trust_remote_code"}
    assert wanted | {ADAPTER["vllm"]} <= {one.arg for one in made.args.args}, changed("arguments of VLLM")


def test_bootstraps_are_drawn_in_this_process_if_asked() -> None:
    assert 'os.getenv("DISABLE_MULTIPROC")' in inspect.getsource(metrics.bootstrap_stderr), changed("bootstraps")


def test_a_log_counts_as_the_one_that_was_due() -> None:
    """Of transformers: which is why a log of ours puts `should_log` back."""
    control = TrainerControl(should_log=True)
    CallbackHandler([], None, None, None, None).on_log(None, TrainerState(), control, {})
    assert control.should_log is False, "transformers changed: the callback need not restore should_log"
