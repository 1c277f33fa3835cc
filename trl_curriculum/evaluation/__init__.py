"""How well a curriculum does: simulated learners, which need no model, and what is compared of runs."""
