"""What knows the kinds of storage: places, spellings, options, files, and the lock of a run."""
