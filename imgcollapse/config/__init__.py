"""What a study is, and reading one from YAML."""
