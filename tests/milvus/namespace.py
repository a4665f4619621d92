"""What Linux offers to keep a server to ourselves: a network of its own, and an end together with its parent."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET
_SET_FLAGS = 0x8914  # SIOCSIFFLAGS
_UP = 0x1  # IFF_UP
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG

_libc = ctypes.CDLL(None, use_errno=True)


def enter_new_network() -> None:
    """Move this process into a network namespace of its own, where 127.0.0.1 is up and nothing else is.

    Sockets that are open stay in the namespace that they were made in. Needs CAP_SYS_ADMIN.
    """
    _check(_libc.unshare(_NEW_NETWORK), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh22x", b"lo", _UP))


def die_with_parent(parent: int) -> None:
    """Let this process be killed when its parent ends, however that ends; programs that it becomes inherit it."""
    _check(_libc.prctl(_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:  # it ended before it was asked
        os.kill(os.getpid(), signal.SIGKILL)


def _check(result: int, call: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


if __name__ == "__main__":
    enter_new_network()
