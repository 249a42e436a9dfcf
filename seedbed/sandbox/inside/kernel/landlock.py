"""Landlock: a second lock on files, TCP and signals, besides the namespaces.

It is used where the kernel has it (5.13 and later). The fork server builds the rules, and each jail
takes them on. Source of the rights and structures: linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping

from ..syscalls import Call, checked, libc, make

# System-call numbers of asm/unistd_64.h.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 1 << 1, 1 << 2, 1 << 3
READ = _READ_FILE | _READ_DIR
EVERYTHING = (1 << 16) - 1
# The rights that a file may have; truncate (1 << 14) is one from ABI 3 on.
_ON_A_FILE = EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14
# All rights on files by ABI version. From ABI 5 on there are 16.
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
# Known from ABI 4 on.
_TCP_BIND_CONNECT = 3
# Known from ABI 6 on.
_SCOPE_ABSTRACT_SOCKET_SIGNAL = 3


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    return max(0, libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def ruleset(readable: list[str], listable: list[str], writable: list[str]) -> int | None:
    """Descriptor of a rule set; None where the kernel has no Landlock.

    readable: files and folders that may be read. listable: folders that may be listed, with all
    below them. writable: folders in which all is allowed. Nothing else is.
    """
    rights = dict.fromkeys(readable, READ)
    rights |= dict.fromkeys(listable, _READ_DIR) | dict.fromkeys(writable, EVERYTHING)
    return ruleset_of(rights)


def ruleset_of(allowed: Mapping[str, int]) -> int | None:
    """As `ruleset`, from the rights of each path: those above, or EVERYTHING."""
    version = abi()
    if version == 0:
        return None
    rights = _FILE_RIGHTS.get(version, (1 << 16) - 1)
    fields = [rights]
    if version >= 4:
        fields.append(_TCP_BIND_CONNECT)
    if version >= 6:
        fields.append(_SCOPE_ABSTRACT_SOCKET_SIGNAL)
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    buffer, size = ctypes.create_string_buffer(attributes), ctypes.c_size_t(len(attributes))
    rules = checked(libc.syscall(_CREATE_RULESET, buffer, size, 0), "landlock_create_ruleset")
    for path, wanted in allowed.items():
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        given = wanted & rights & (-1 if os.path.isdir(path) else _ON_A_FILE)
        rule = ctypes.create_string_buffer(struct.pack("=Qi", given, place))
        checked(libc.syscall(_ADD_RULE, rules, _RULE_PATH_BENEATH, rule, 0), "landlock_add_rule")
        os.close(place)
    return rules


def restrict(rules: int) -> None:
    """Confine this process and its threads for good. no-new-privileges must be set before."""
    make([restriction(rules)])


def restriction(rules: int) -> Call:
    """The call of `restrict`."""
    return Call("landlock_restrict_self", _RESTRICT_SELF, rules, 0)
