"""Runs on a host, out of SSH's standard input: looks at it, prints one JSON document, changes nothing.

Python's standard library only, for nothing is installed there. Every part runs beside the others; one that
does not answer in time is named, and holds up none.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

SECONDS = 6.0  # for all parts together
TOOL_SECONDS = 5.0
CONNECT_SECONDS = 2.0
PINGS = 3
ICMP_HEADERS = 28
SAMPLE_SECONDS = 0.3
LISTENS = "0A"
TLS = "/etc/rmc-dr/tls"
FENCE = "/etc/rmc-dr/fence.nft"
HELD = "/etc/rmc-dr/held"
SHOWN = ("Id", "ActiveState", "SubState", "Result", "NRestarts")
PERF_MAGIC = b"\xca\xfe\xc0\xc0"


def look(asked: Mapping[str, Any]) -> dict[str, Any]:
    """``asked`` holds peers (name -> address), roads, units, process (a unit or "") and interface."""
    began = time.time()
    interface, unit = str(asked["interface"]), str(asked["process"])
    tasks: dict[str, Callable[[], Any]] = {
        "load": load,
        "memory": memory,
        "filesystems": filesystems,
        "handles": handles,
        "units": partial(units, asked["units"]),
        "failed": failed_units,
        "listening": listening,
        "postgres": postmasters,
        "process": partial(process, unit),
        "fence": fence,
        "held": partial(os.path.exists, HELD),
    }
    for name, address in asked["peers"].items():
        tasks[f"name {name}"] = partial(resolve, name)
        if address != asked["address"]:
            tasks[f"ping {name}"] = partial(ping, address, mtu(interface))
    for number, road in enumerate(asked["roads"]):
        tasks[f"road {number}"] = partial(connect, road)
    done, errors = side_by_side(tasks, SECONDS)
    groups: dict[str, dict[str, Any]] = {"name": {}, "ping": {}, "road": {}}
    parts: dict[str, Any] = {}
    for task, value in done.items():
        kind, _space, rest = task.partition(" ")
        if rest:
            groups[kind][rest] = value
        else:
            parts[kind] = value
    return {
        **parts,
        "names": groups["name"],
        "pings": groups["ping"],
        "roads": groups["road"],
        "errors": errors,
        "began": began,
        "ended": time.time(),
    }


def side_by_side(
    tasks: Mapping[str, Callable[[], Any]], seconds: float
) -> tuple[dict[str, Any], dict[str, str]]:
    """What the tasks return, and why the others do not; over after so many seconds, whatever hangs."""
    done: dict[str, Any] = {}
    errors: dict[str, str] = {}

    def work(name: str, task: Callable[[], Any]) -> None:
        try:
            done[name] = task()
        except Exception as error:  # noqa: BLE001 (one part that fails must not hide the others)
            errors[name] = f"{type(error).__name__}: {error}"[:200]

    threads = [threading.Thread(target=work, args=item, daemon=True) for item in tasks.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {name: f"no answer within {seconds:g} s" for name in tasks if name not in done | errors}
    return dict(done), {**errors, **late}


def load() -> dict[str, Any]:
    """Processes that want a core, per core over one minute; and how busy the cores are just now."""
    before = _cpu()
    time.sleep(SAMPLE_SECONDS)
    spent = [after - earlier for after, earlier in zip(_cpu(), before, strict=True)]
    busy = 100 * (1 - spent[3] / sum(spent)) if sum(spent) else 0.0
    return {"cores": os.cpu_count() or 1, "one_minute": os.getloadavg()[0], "busy_percent": round(busy, 1)}


def _cpu() -> list[int]:
    return [int(word) for word in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]


def memory() -> dict[str, int]:
    rows = (line.split() for line in _read("/proc/meminfo").splitlines())
    found = {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows}
    return {"total": found["MemTotal"], "available": found["MemAvailable"]}


def filesystems() -> list[dict[str, Any]]:
    """Each disk that is mounted to be written to, once; sizes in bytes."""
    found: dict[int, dict[str, Any]] = {}
    for line in _read("/proc/self/mounts").splitlines():
        source, path, _kind, options = line.split()[:4]
        if not source.startswith("/dev/") or path.startswith(("/run/", "/proc", "/sys", "/dev")):
            continue
        if "ro" in options.split(",") or not os.path.isdir(path):  # noqa: PTH112
            continue
        room, device = os.statvfs(path), os.stat(path).st_dev  # noqa: PTH116
        if device not in found:
            used = room.f_blocks - room.f_bfree
            found[device] = {
                "path": path,
                "size": (used + room.f_bavail) * room.f_frsize,
                "free": room.f_bavail * room.f_frsize,
                "inodes": room.f_files,
                "inodes_free": room.f_ffree,
            }
    return list(found.values())


def handles() -> dict[str, int]:
    used, _unused, most = map(int, _read("/proc/sys/fs/file-nr").split())
    return {"used": used, "most": most}


def units(names: list[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    said = run(["systemctl", "show", f"--property={','.join(SHOWN)}", *names])
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in said.split("\n\n")]
    return {
        block["Id"]: {
            "active": block.get("ActiveState", ""),
            "sub": block.get("SubState", ""),
            "result": block.get("Result", ""),
            "restarts": block.get("NRestarts", "") or "0",
        }
        for block in blocks
        if "Id" in block
    }


def failed_units() -> list[str]:
    said = run(["systemctl", "list-units", "--failed", "--plain", "--no-legend"])
    return [line.split()[0] for line in said.splitlines() if line.split()]


def listening() -> list[int]:
    """TCP ports that wait on more than the loopback."""
    ports = set()
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not os.path.exists(path):  # noqa: PTH110
            continue
        for line in _read(path).splitlines()[1:]:
            where, _peer, state = line.split()[1:4]
            address, port = where.split(":")
            loopback = address.endswith("7F") if len(address) == 8 else address == f"{'0' * 24}01000000"
            if state == LISTENS and not loopback:
                ports.add(int(port, 16))
    return sorted(ports)


def postmasters() -> int:
    """How many PostgreSQL servers run: processes of that name whose parent is none."""
    names = {}
    for pid in _pids():
        try:
            head, _close, rest = _read(f"/proc/{pid}/stat").rpartition(")")
        except OSError:
            continue
        names[pid] = (head.partition("(")[2], int(rest.split()[1]))
    return sum(
        name == "postgres" and names.get(parent, ("", 0))[0] != "postgres" for name, parent in names.values()
    )


def process(unit: str) -> dict[str, Any] | None:
    """The Java process of a unit; None where it has none, and for ""."""
    for pid in _pids() if unit else ():
        try:
            ours = any(line.endswith(f"/{unit}") for line in _read(f"/proc/{pid}/cgroup").splitlines())
            if not ours or _read(f"/proc/{pid}/comm").strip() != "java":
                continue
            status = dict(line.partition(":")[::2] for line in _read(f"/proc/{pid}/status").splitlines())
            limits = _read(f"/proc/{pid}/limits").splitlines()
            most = next(line.split()[3] for line in limits if line.startswith("Max open files"))
            return {
                "pid": pid,
                "threads": int(status["Threads"]),
                "resident": int(status["VmRSS"].split()[0]) * 1024,
                "files": len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
                "files_most": int(most) if most.isdigit() else None,
                "heap": heap(pid),
            }
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while it was looked at
    return None


def heap(pid: int) -> int | None:
    """Bytes of the heap that were in use after the last collection; None where this JVM does not tell.

    HotSpot keeps its counters in a file that only reading is needed for; a debugger's attach would stop it.
    """
    folder = f"/proc/{pid}/root/tmp"
    for name in os.listdir(folder):  # noqa: PTH208
        path = f"{folder}/{name}/{pid}"
        if name.startswith("hsperfdata_") and os.path.exists(path):  # noqa: PTH110
            with open(path, "rb") as counters:  # noqa: PTH123
                return heap_in_use(counters.read())
    return None


def heap_in_use(counters: bytes) -> int | None:
    """The sum of all spaces of all generations, out of HotSpot's file of counters (format 2.0)."""
    if len(counters) < 32 or counters[:4] != PERF_MAGIC:
        return None
    order = "<" if counters[4] else ">"
    at, count = struct.unpack_from(f"{order}ii", counters, 24)
    used = []
    for _ in range(count):
        if not 0 < at <= len(counters) - 20:
            return None
        length, name_at, _vector, kind = struct.unpack_from(f"{order}iiiB", counters, at)
        value_at = struct.unpack_from(f"{order}i", counters, at + 16)[0]
        name = counters[at + name_at : at + length].split(b"\0", 1)[0]
        if kind == ord("J") and name.startswith(b"sun.gc.generation.") and name.endswith(b".used"):
            used.append(struct.unpack_from(f"{order}q", counters, at + value_at)[0])
        if length <= 0:
            return None
        at += length
    return sum(used) if used else None


def resolve(name: str) -> dict[str, Any]:
    began = time.monotonic()
    try:
        answers = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except socket.gaierror as error:
        return {"addresses": [], "ms": _ms(began), "why": str(error.strerror or error)}
    return {"addresses": sorted({str(answer[4][0]) for answer in answers}), "ms": _ms(began), "why": ""}


def mtu(interface: str) -> int | None:
    try:
        return int(_read(f"/sys/class/net/{interface}/mtu"))
    except OSError:
        return None


def ping(address: str, largest: int | None) -> dict[str, Any]:
    """With packets as large as the interface sends, which nobody may cut; with small ones if none comes."""
    whole = _ping(address, largest - ICMP_HEADERS) if largest else None
    if whole and whole["received"]:
        return {**whole, "whole": True, "mtu": largest}
    return {**_ping(address, 56), "whole": False if whole else None, "mtu": largest}


def _ping(address: str, size: int) -> dict[str, Any]:
    some = ["-n", "-q", "-c", str(PINGS), "-i", "0.1", "-W", "1"]
    done = subprocess.run(
        ["ping", *some, "-M", "do", "-s", str(size), address],
        capture_output=True,
        text=True,
        timeout=TOOL_SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return {"sent": PINGS, **read_ping(done.stdout)}


def read_ping(said: str) -> dict[str, Any]:
    """How many came back and how long they took, out of the summary that iputils' ping prints."""
    received, ms = 0, None
    for line in said.splitlines():
        if " packets transmitted, " in line:
            received = int(line.split(" packets transmitted, ")[1].split()[0])
        elif line.startswith("rtt "):
            ms = float(line.split(" = ")[1].split("/")[1])
    return {"received": received, "ms": ms}


def connect(road: Mapping[str, Any]) -> dict[str, Any]:
    """A connection to a port, and TLS on it; closed again at once. ``why`` is empty where it stood."""
    began = time.monotonic()
    try:
        plain = socket.create_connection((road["address"], road["port"]), timeout=CONNECT_SECONDS)
    except OSError as error:
        return {"why": why(error), "ms": _ms(began), "tls": ""}
    with plain:
        took = _ms(began)
        if not road["tls"]:
            return {"why": "", "ms": took, "tls": ""}
        try:
            trust = ssl.create_default_context(cafile=f"{TLS}/ca.pem")
            trust.load_cert_chain(f"{TLS}/host.pem", f"{TLS}/host.key")
            with trust.wrap_socket(plain, server_hostname=road["to"]):
                return {"why": "", "ms": took, "tls": ""}
        except ssl.SSLCertVerificationError as error:
            return {"why": "", "ms": took, "tls": f"certificate: {error.verify_message}"}
        except OSError as error:
            return {"why": "", "ms": took, "tls": str(error)[:200] or type(error).__name__}


def why(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, socket.gaierror):
        return "unresolved"
    return "unreachable"


def fence() -> bool:
    """Whether users are kept off; a file alone would keep them off again after the next boot."""
    if os.path.exists(FENCE):  # noqa: PTH110
        return True
    done = subprocess.run(
        ["nft", "list", "table", "inet", "rmc_dr_fence"],
        capture_output=True,
        timeout=TOOL_SECONDS,
        check=False,
    )
    return done.returncode == 0


def run(words: list[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=TOOL_SECONDS, check=True)
    return done.stdout


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
        return file.read()


def _ms(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 2)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what hangs is left behind
