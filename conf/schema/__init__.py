"""Every setting of the project with its type, default and where the default comes from."""
