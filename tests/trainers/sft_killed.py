"""A packed SFT run that measures losses by probes, as a process of its own for `test_kill.py` to kill and resume."""

import json
import sys
from pathlib import Path

import torch
from harness import sft_trainer, weights


if __name__ == "__main__":
    folder, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
    trainer = sft_trainer(folder, **changes)
    trainer.train(resume_from_checkpoint="auto")
    shown = {"history": trainer.history()[["draw", "row", "probability", "loss"]].to_numpy().tolist()}
    torch.save(weights(trainer), folder / "weights_0.pt")
    (folder / "result_0.json").write_text(json.dumps(shown))
