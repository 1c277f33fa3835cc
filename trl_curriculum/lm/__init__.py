"""Work with a language model: losses, generation, entropies, weights."""
