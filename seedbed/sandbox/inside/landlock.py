"""Landlock: a second lock on files, TCP and signals, under the namespaces. Used where the kernel
has it (5.13 and later).

Rights and structures: linux/landlock.h. Built by the fork server, taken on by each jail.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .syscalls import checked, libc

# asm/unistd_64.h
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# by ABI; 16 rights from ABI 5
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
# from ABI 4
_TCP_BIND_CONNECT = 3
# from ABI 6
_SCOPE_ABSTRACT_SOCKET_SIGNAL = 3


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def ruleset(readable: list[str], listable: list[str]) -> int | None:
    """Descriptor of a rule set that allows reading the given files and folders, listing the others
    and what is below, and nothing else; None without Landlock.
    """
    version = abi()
    if version == 0:
        return None
    rights = _FILE_RIGHTS.get(version, (1 << 16) - 1)
    fields = (
        [rights]
        + [_TCP_BIND_CONNECT] * (version >= 4)
        + [_SCOPE_ABSTRACT_SOCKET_SIGNAL] * (version >= 6)
    )
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    buffer, size = ctypes.create_string_buffer(attributes), ctypes.c_size_t(len(attributes))
    rules = checked(libc.syscall(_CREATE_RULESET, buffer, size, 0), "landlock_create_ruleset")
    for path in [*readable, *listable]:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = (
            _READ_DIR
            if path in listable
            else _READ_FILE | _READ_DIR
            if os.path.isdir(path)
            else _READ_FILE
        )
        rule = ctypes.create_string_buffer(struct.pack("=Qi", allowed, place))
        checked(libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0), "landlock_add_rule")
        os.close(place)
    return rules


def restrict(rules: int) -> None:
    """Confine this process and its threads for good. Needs no-new-privileges."""
    checked(libc.syscall(_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
