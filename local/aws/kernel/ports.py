"""Ports of the machine: whether they are free, and which processes hold the others."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path

HIGHEST = 65_535
"""Highest number of a port."""


class PortInUseError(Exception):
    """A port that the run needs is in use."""


def check_port(port: int, user: str, option: str) -> None:
    """Raise PortInUseError with the remedy if something listens on the port."""
    check_ports({user: port}, option)


def check_ports(needed: Mapping[str, int], option: str) -> None:
    """Raise PortInUseError that names each port in use, its holder and the remedy. ``needed`` has the ports by
    who needs them."""
    taken = {user: port for user, port in needed.items() if port and _is_taken(port)}
    if not taken:
        return
    holders = {port: _listener(port) for port in taken.values()}
    lines = [
        f"port {port}, which {user} needs, is in use"
        + (f" by `{holder[1]}` (pid {holder[0]})" if (holder := holders[port]) else "")
        for user, port in taken.items()
    ]
    pids = sorted({holder[0] for holder in holders.values() if holder})
    stop = f"stop {'it' if len(lines) == 1 else 'them'}" + (
        f" (kill {' '.join(map(str, pids))})" if pids else ""
    )
    raise PortInUseError("\n".join(lines) + f": {stop} or choose other ports with {option}")


def _is_taken(port: int) -> bool:
    if port > HIGHEST:  # refused by the settings, in their own words
        return False
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _listener(port: int) -> tuple[int, str] | None:
    """Return the process and command that listen on a port, if /proc tells."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        if not path.exists():
            continue
        for line in path.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*") if inodes else ():
        try:
            if str(descriptor.readlink()) in inodes:
                process = descriptor.parent.parent
                command = (process / "cmdline").read_text().replace("\0", " ").strip()
                return int(process.name), command[:80]
        except OSError:
            continue
    return None
