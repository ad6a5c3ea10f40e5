"""The training loop, its settings, and what goes wrong in it."""
