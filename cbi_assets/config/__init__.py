"""Settings, and each declared thing with its YAML file beside its model."""
