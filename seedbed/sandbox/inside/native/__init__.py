"""What runs compilers, and programs of other languages than Python.

A fork server of its own (server.py) clones a jail per compilation and per run. The jail builds a
root file system that holds what this one command needs and nothing else (root.py), gives up its
powers (filters.py, jail.py) and becomes the program by execve.
"""
