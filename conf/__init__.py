"""What can be set: typed dataclasses, YAML files that differ from the defaults, and the loader.

It imports the standard library and OmegaConf alone.
"""
