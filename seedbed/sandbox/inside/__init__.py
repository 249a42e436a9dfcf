"""What runs on the far side of `exec`: the fork server, the candidate's jail and the tester.
Standard library only.

Nothing here imports the rest of Seedbed: `worker.py` starts a bare interpreter with an empty
environment whose only path to this code is the folder above, so a jail's memory and its ancestors'
hold no test, no config and no secret.
"""
