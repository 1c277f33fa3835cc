"""
The conformance tables, for whoever writes a method. In a test file, and run by pytest in seconds:

```python
from trl_curriculum.testing import conformance
test_mine = conformance(Mine(window=2))
```
"""

from importlib.util import find_spec
from pathlib import Path


if find_spec("pytest") is None:
    raise ImportError("trl_curriculum.testing needs pytest: pip install 'trl_curriculum[testing]'.")

import pytest


pytest.register_assert_rewrite(  # so that a failed invariant shows its values
    *(f"{__name__}.{file.stem}" for file in Path(__file__).parent.glob("[a-z]*.py"))
)

from .table import case, conformance, table  # noqa: E402


__all__ = ["case", "conformance", "table"]
