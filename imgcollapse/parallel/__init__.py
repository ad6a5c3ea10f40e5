"""Several processes that work on one study."""
