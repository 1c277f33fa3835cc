from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `grpo` and `sft`."""
    import report_runs
    from harness import once

    return once(tmp_path_factory, "report_runs", report_runs.tiny_runs)
