"""No process outlives the one that started it: a run that is started again would meet the old one
in its own folder.

The call itself stands in the jail's part of the sandbox, whose interpreter sees the standard
library alone.
"""

from seedbed.sandbox.inside.syscalls import die_with_parent

__all__ = ["die_with_parent"]
