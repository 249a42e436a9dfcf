"""Every setting of the project, with its type, its default and the source of the default."""
