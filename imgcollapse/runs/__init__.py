"""The folders of a run: writing them and reading them back."""
