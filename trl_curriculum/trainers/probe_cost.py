"""What the probes of a run cost at most, in words."""

from typing import Any

from ..curricula.outlook import Outlook
from ..probes import PrefixEntropy, Probe


def probe_cost(method: Any, outlook: Outlook, args: Any) -> str:
    """What is measured beforehand, and what that costs at most."""
    times, rows = outlook.probes, outlook.probed_rows
    often = f"{times} {plural(outlook.event) if outlook.event and times > 1 else outlook.event or 'time'} x "
    most = "at most " if outlook.or_fewer else ""
    if method.probe == "loss":
        return f"{often}{most}{rows:,} rows, one forward over each with its answer"
    spec = args.probe_for(method)
    if not isinstance(spec, PrefixEntropy):
        return f"{often}{most}{prompts(rows, spec)}"
    back_end: str = spec.back_end
    if back_end == "auto":
        back_end = "vllm" if getattr(args, "use_vllm", False) else "transformers"
    return f"{often}{most}{prompts(rows, spec, times)}, {back_end}"


def prompts(rows: int, spec: Probe, times: int = 1) -> str:
    """What it costs at most to score the prompts of rows, a number of times."""
    if not isinstance(spec, PrefixEntropy):
        return f"{rows:,} rows, one forward over each prompt"
    samples = f" x {spec.samples} samples" if spec.samples > 1 else ""
    most = times * rows * spec.length * spec.samples
    return f"{rows} rows x {spec.length} tokens{samples} = at most {most:,} tokens"


def plural(word: str) -> str:
    """Of an event."""
    return f"{word}es" if word.endswith("sh") else f"{word}s"
