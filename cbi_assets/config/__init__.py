"""Settings, and one model for each YAML file in this folder."""
