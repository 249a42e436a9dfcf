"""What can be set: typed dataclasses, their YAML deltas and the loader. Imports nothing but the standard library and OmegaConf."""
