"""Lets a process die with the one that started it.

A child that lives on would meet the next run of the same command in its own folder. The call itself
belongs to the jail's part of the sandbox, which sees the standard library alone.
"""

from seedbed.sandbox.inside.syscalls import die_with_parent

__all__ = ["die_with_parent"]
