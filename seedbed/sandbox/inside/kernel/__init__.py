"""What the kernel refuses to a jail: its calls (seccomp.py) and its paths (landlock.py)."""
