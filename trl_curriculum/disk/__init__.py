"""What is written and read back: state, checkpoints, partial results, stages. A file is whole or not there."""
