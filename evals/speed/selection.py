"""
What selection costs: gradient features on SmolLM2-135M, methods at 100,000 candidates and more, and on a planted pool.

    python evals/speed/selection.py                    # all of it, about 40 minutes, 8 GB and 3 GB of disk on 2 cores
    python evals/speed/selection.py --parts planted    # only a part; the others stay as they are in the results

Each case at scale runs in a process of its own. Where the machine is shared, wall time says little: processor time is
given too, and features are compared in pairs that run one after the other.
"""

import argparse
import json
import os
import platform
import sys
from pathlib import Path


os.environ.setdefault("HF_HUB_OFFLINE", "1")
ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "evals"))

from selection_features import measure_features  # noqa: E402
from selection_planted import measure_planted, picture  # noqa: E402
from selection_scale import child, measure_scale  # noqa: E402
from selection_tables import page  # noqa: E402


FOLDER = ROOT / "docs" / "results" / "speed"
PARTS = {"features": measure_features, "scale": measure_scale, "planted": measure_planted}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--case", help=argparse.SUPPRESS)  # one case at scale, by a process of its own
    args = parser.parse_args()
    if args.case:
        child(args.case)
        return
    file = FOLDER / "selection.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    for part in args.parts:
        load = os.getloadavg()[0]  # of others, before it starts
        results[part] = {
            "machine": f"{os.cpu_count()} cores, {platform.machine()}, no accelerator",
            "load_before": round(load, 2),
            **PARTS[part](),
        }
        results = {name: results[name] for name in PARTS if name in results}
        file.write_text(json.dumps(results, indent=1) + "\n")
        (FOLDER / "selection.md").write_text(page(results))
    if "planted" in results:
        picture(results["planted"], FOLDER / "selection.png")
    print(page(results))


if __name__ == "__main__":
    main()
