"""Marks by which processes know each other: one writes its own down, others see whether it is still there."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

Mark = Mapping[str, str | int]


def host() -> str:
    """The name of this host."""
    return platform.node()


def process_space() -> str:
    """Within which process ids mean what they mean here: containers may share a host's name and not its processes."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def own_mark() -> dict[str, str | int]:
    """This process: host, process id, and when it began, so that a reused id is not taken for it."""
    return {"host": host(), "pid": os.getpid(), "born": born(os.getpid())}


def on_this_host(mark: Mark) -> bool:
    """Whether the process of `mark` runs, or ran, here."""
    return mark["host"] == host()


def gone(mark: Mark) -> bool:
    """Whether the process of `mark`, which ran on this host, has ended."""
    pid = int(mark["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return born(pid) != mark["born"]


def born(pid: int) -> str:
    """The machine's start, and clock ticks from it to the process's; "" without /proc, "dead" if a zombie.

    Source: proc_pid_stat(5); the name in parentheses may hold spaces, field 3 is the state, field 22 the start.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    return "dead" if fields[0] in "ZX" else f"{boot}/{fields[19]}"
