"""A system-call filter for jobs: what no training program needs and attackers like.

Namespaces are already made when it applies; inside nobody may make more of them (a new one brings
back powers over mounts, and a private tmpfs would escape the disk limit), load programs into the
kernel, or touch its key rings. Refused calls fail with EPERM; `clone3` and io_uring fail with
ENOSYS, upon which libraries fall back to what the filter can look into.
"""

from __future__ import annotations

import errno
import platform
import struct

_LD, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_X32_BIT = 0x40000000

# Numbers of Linux' system call tables; the ones from 424 on are the same on every machine.
_COMMON = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442,
}  # fmt: skip
_X86_64 = {
    "pivot_root": 155, "mount": 165, "umount2": 166, "swapon": 167, "reboot": 169, "init_module": 175,
    "delete_module": 176, "kexec_load": 246, "add_key": 248, "request_key": 249, "keyctl": 250,
    "unshare": 272, "perf_event_open": 298, "setns": 308, "finit_module": 313, "kexec_file_load": 320,
    "bpf": 321, "userfaultfd": 323,
}  # fmt: skip
_ARM64 = {
    "umount2": 39, "mount": 40, "pivot_root": 41, "unshare": 97, "kexec_load": 104, "init_module": 105,
    "delete_module": 106, "reboot": 142, "add_key": 217, "request_key": 218, "keyctl": 219,
    "swapon": 224, "perf_event_open": 241, "setns": 268, "finit_module": 273, "bpf": 280,
    "userfaultfd": 282, "kexec_file_load": 294,
}  # fmt: skip
_IO_URING = (425, 426, 427)
_CLONE3 = 435
_MACHINES = {"x86_64": (0xC000003E, _X86_64, 56), "aarch64": (0xC00000B7, _ARM64, 220)}


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)


def build_filter(machine: str | None = None) -> bytes | None:
    """The filter as classic BPF for `bwrap --seccomp`, or None for a machine it is not written for."""
    known = _MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    arch, table, clone = known
    denied = sorted({*table.values(), *_COMMON.values()})
    refuse, missing = _op(_RET, _ERRNO | errno.EPERM), _op(_RET, _ERRNO | errno.ENOSYS)
    program = [
        _op(_LD, 4), _op(_JEQ, arch, yes=1), refuse,  # programs for another machine's table
        _op(_LD, 0), _op(_JGE, _X32_BIT, no=1), refuse,
    ]  # fmt: skip
    for number in denied:
        program += [_op(_JEQ, number, no=1), refuse]
    for number in (*_IO_URING, _CLONE3):
        program += [_op(_JEQ, number, no=1), missing]
    # clone's first argument holds its flags (the low half, on little-endian machines).
    program += [_op(_JEQ, clone, no=3), _op(_LD, 16), _op(_JSET, _NEW_NAMESPACES, no=1), refuse]
    program.append(_op(_RET, _ALLOW))
    return b"".join(program)
