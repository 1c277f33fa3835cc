"""How well a curriculum and a model do: simulated learners, comparisons at equal cost, benchmarks by lm-eval."""
