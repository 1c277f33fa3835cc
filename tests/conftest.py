import os


os.environ["OMP_NUM_THREADS"] = "1"  # results depend on it, and a fork of a process with threads may hang
os.environ["TOKENIZERS_PARALLELISM"] = "false"  # for the same reason
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("DS_ACCELERATOR", "cpu")  # or DeepSpeed, which accelerate imports, says that it found no GPU
os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

import gc
import sys
import threading
from pathlib import Path

import pytest
from tqdm import tqdm


tqdm.set_lock(threading.RLock())  # the default is shared with forks, of which one may be killed while it holds it
tqdm.monitor_interval = 0  # no thread of its own, whose lock a fork may find taken
HERE = Path(__file__).parent
for folder in (HERE, *(found for found in HERE.iterdir() if found.is_dir() and found.name[0] not in "_.")):
    sys.path.insert(0, str(folder))
collect_ignore_glob = ["conftest.py", "*/conftest.py"]  # for doctests: as modules they would all have one name


def pytest_collection_finish() -> None:
    """Keeps what was imported out of later collections: `Trainer.train` makes one, which else takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    import tiny

    return tiny.saved_model(tmp_path_factory.mktemp("tiny"))
