"""Stages repeated from a better model each time: generate, select, train."""
