"""What can be set: typed dataclasses, their YAML deltas and the loader. Imports the standard
library and OmegaConf only.
"""
