from pathlib import Path

import pytest


collect_ignore = ["browser.py"]  # a command of its own, which needs Playwright


@pytest.fixture(scope="session")
def tiny_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs `grpo` and `sft`."""
    import report_runs
    from harness import once

    return once(tmp_path_factory, "report_runs", report_runs.tiny_runs)
