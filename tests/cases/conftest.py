import shutil
from collections.abc import Iterator
from pathlib import Path

import make_data
import make_models
import pytest


HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all inputs and models of the cases; commands run in it and write under `out`."""
    folder = tmp_path_factory.mktemp("cases")
    for path in HERE.iterdir():
        if path.is_dir() and path.name[0] not in "._":
            shutil.copytree(path, folder / path.name)
        elif path.suffix in (".yaml", ".jsonl"):
            shutil.copy(path, folder)
    make_models.make(folder / "models")
    make_data.make(folder / "data")
    return folder


@pytest.fixture(autouse=True)
def out_is_empty(request: pytest.FixtureRequest) -> Iterator[None]:
    """No case finds what another one has left."""
    yield
    if "inputs" in request.fixturenames:
        shutil.rmtree(request.getfixturevalue("inputs") / "out", ignore_errors=True)
