"""What runs after `exec`: the fork server, the program's jail and the tester.

These files use the standard library alone. `server.py` starts a bare interpreter with an empty
environment, and this folder is all it sees of the project. So the memory of a jail and its
ancestors holds no test, no setting and no secret.
"""
