"""The schema of a study, and the loader that reads one from YAML."""
