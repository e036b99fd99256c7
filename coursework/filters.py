"""A system-call filter for the sandbox: one process, which may start threads and nothing else.

A filter is a program of the kernel's classic BPF, eight bytes an instruction; bubblewrap hands it over with
`--seccomp`. Source: the kernel's documentation (`Documentation/userspace-api/seccomp_filter.rst`).
"""

from __future__ import annotations

import errno
import struct

# Of linux/audit.h, and the numbers of the calls that start a process, by machine.
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
FORKS = {"x86_64": (57, 58), "aarch64": ()}  # fork and vfork, which newer machines do without
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
OTHER_CALLING = 0x40000000  # numbers from here on are the x32 calls of x86_64
THREAD = 0x00010000  # CLONE_THREAD

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER, MACHINE, FIRST_ARGUMENT = 0, 4, 16  # where they stand in the data that the filter sees


def one_process(machine: str) -> bytes | None:
    """The filter that refuses every call that would start another process.

    `clone3` is answered "no such call", since its flags lie where a filter cannot look: the C library then
    falls back on `clone`, whose flags say whether it makes a thread.

    Args:
        machine: what `platform.machine()` says.

    Returns:
        The program, 8 bytes an instruction; None for a machine whose call numbers are not known here.
    """
    if machine not in ARCHITECTURE:
        return None
    refuse, missing = REFUSE | errno.EPERM, REFUSE | errno.ENOSYS
    program: list[tuple[int, int, int, int]] = [
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 1, 0, ARCHITECTURE[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
        (AT_LEAST, 0, 1, OTHER_CALLING),
        (RETURN, 0, 0, refuse),
        (EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, missing),
    ]
    for number in FORKS[machine]:
        program += [(EQUAL, 0, 1, number), (RETURN, 0, 0, refuse)]
    program += [
        (EQUAL, 0, 3, CLONE[machine]),
        (LOAD, 0, 0, FIRST_ARGUMENT),
        (ANY_BIT, 1, 0, THREAD),
        (RETURN, 0, 0, refuse),
        (RETURN, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in program)
