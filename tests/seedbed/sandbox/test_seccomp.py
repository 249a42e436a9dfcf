"""The filter gives each call number the answer that the tables give it."""

from __future__ import annotations

import struct

import pytest

from seedbed.sandbox.inside.kernel import seccomp

ALLOW, KILL, EPERM = 0x7FFF0000, 0x80000000, 0x00050001
X86_64, I386 = 0xC000003E, 0x40000003


def answer(code: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = X86_64) -> int:
    """What a classic BPF program returns for a call: the few instructions that it may have."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *padded)
    at, held = 0, 0
    while True:
        kind, yes, no, value = struct.unpack_from("HBBI", code, 8 * at)
        at += 1
        if kind == 0x06:
            return int(value)
        if kind == 0x20:
            (held,) = struct.unpack_from("<I", data, value)
        elif kind == 0x05:
            at += value
        else:
            holds = {0x15: held == value, 0x35: held >= value, 0x45: bool(held & value)}[kind]
            at += yes if holds else no


@pytest.mark.parametrize("writing", [False, True])
def test_each_call_number_has_the_answer_of_its_table(writing: bool) -> None:
    code = seccomp.program(True, writing)
    by_arguments = dict(seccomp._rules(True, writing))
    allowed = {*seccomp.ALLOWED.values(), *(seccomp.WRITING.values() if writing else ())}
    for number in [*range(1200), 0x3FFFFFFF]:
        if number in by_arguments:
            continue
        wanted = ALLOW if number in allowed else EPERM
        wanted = KILL if number in seccomp.LETHAL.values() else wanted
        assert answer(code, number) == wanted, number
        assert answer(code, number | 0x40000000) == KILL, "the x32 form of a call"
        assert answer(code, number, arch=I386) == KILL


@pytest.mark.parametrize(
    ("number", "arguments", "wanted"),
    [
        # mmap, and mprotect: readable and executable, then writable
        (9, (0, 4096, 5), EPERM),
        (9, (0, 4096, 3), ALLOW),
        (10, (0, 4096, 4), EPERM),
        # clone of a process and of a thread; clone3
        (56, (17,), EPERM),
        (56, (0x10000 | 0x100,), ALLOW),
        (435, (), 0x00050000 | 38),
        # openat for reading, writing, making
        (257, (0, 0, 0), ALLOW),
        (257, (0, 0, 1), EPERM),
        (257, (0, 0, 0o100), EPERM),
        # kill: itself, another
        (62, (1, 9), ALLOW),
        (62, (2, 9), EPERM),
        # prlimit64: for reading, and with a pointer whose low half is zero
        (302, (0, 7, 0), ALLOW),
        (302, (0, 7, 1 << 32), EPERM),
        # fcntl: F_GETFD, F_SETLK
        (72, (0, 1), ALLOW),
        (72, (0, 6), EPERM),
        # socketpair: AF_UNIX, AF_INET
        (53, (1,), ALLOW),
        (53, (2,), EPERM),
    ],
)
def test_arguments_decide_where_the_rules_say_so(
    number: int, arguments: tuple[int, ...], wanted: int
) -> None:
    assert answer(seccomp.program(True), number, arguments) == wanted


def test_further_calls_and_rules_take_the_place_of_the_tables() -> None:
    """As the filters of compilers and other languages ask for."""
    allow = [seccomp._OK]
    code = seccomp.program(True, more=(41, 1000), rules={435: allow, 56: allow})
    assert [answer(code, number) for number in (41, 1000, 435, 56)] == [ALLOW] * 4
    assert answer(code, 999) == EPERM


def test_a_call_is_found_in_few_steps() -> None:
    """The kernel walks the program for each call number when a jail loads it."""
    code = seccomp.program(True)
    ranges = seccomp._ranges({number: [seccomp._OK] for number in seccomp.ALLOWED.values()})
    assert len(code) // 8 < 4096, "the kernel takes no longer program"
    steps = seccomp._search(ranges)
    assert _depth(steps, 0) <= 9


def _depth(steps: list[bytes], at: int) -> int:
    kind, yes, no, value = struct.unpack("HBBI", steps[at])
    if kind == 0x06:
        return 1
    if kind == 0x05:
        return 1 + _depth(steps, at + 1 + value)
    return 1 + max(_depth(steps, at + 1 + yes), _depth(steps, at + 1 + no))
