"""Runs on the application server, out of SSH's standard input: Liberty's threads, memory and answers.

Python's standard library only. It asks Java for its threads (SIGQUIT) where it is told to, which Java writes
into its own log; else it only reads. Prints one JSON document.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

SECONDS = 9.0
TOOL_SECONDS = 6.0
ANSWER_SECONDS = 4.0
DUMP_SECONDS = 5.0
UNIT = "liberty.service"
CA = "/etc/rmc-dr/tls/ca.pem"
RECENT_SECONDS = 3600  # what is longer ago is over
END_SECONDS = 10  # so long before a start by itself the run before it ended
LONGEST = 200
LINES = 5
HEAD = 20000
IDLE = ("BoundedBuffer", "ThreadPoolExecutor.getTask")
POOL = "com.ibm.ejs.j2c."
WRITTEN = ("/", "/srv", "/var", "/var/lib/liberty", "/var/log", "/var/log/liberty", "/opt")
SIZES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
NO_HEAP = "OutOfMemoryError"
KERNEL = "Out of memory: Killed process|oom-kill:|Memory cgroup out of memory"


def look(asked: Mapping[str, Any]) -> dict[str, Any]:
    tasks: dict[str, Callable[[], Any]] = {
        "memory": partial(memory, asked["folder"]),
        "read_only": read_only,
        "live": partial(served, asked["address"], asked["port"], "/health/live"),
        "ready": partial(served, asked["address"], asked["port"], "/health/ready"),
    }
    if asked["threads"]:
        tasks["threads"] = partial(threads, asked["folder"])
    done: dict[str, Any] = {}
    errors: dict[str, str] = {}

    def work(name: str, task: Callable[[], Any]) -> None:
        try:
            done[name] = task()
        except Exception as error:  # noqa: BLE001 (one part that fails must not hide the others)
            errors[name] = f"{type(error).__name__}: {error}"[:LONGEST]

    started = [threading.Thread(target=work, args=item, daemon=True) for item in tasks.items()]
    for thread in started:
        thread.start()
    deadline = time.monotonic() + SECONDS
    for thread in started:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = {name: f"no answer within {SECONDS:g} s" for name in tasks if name not in done | errors}
    return {**done, "errors": {**errors, **late}}


# --- memory


def memory(folder: str) -> dict[str, Any]:
    """What the logs say since the newest run began, and of its predecessor's end if it began by itself."""
    shown = run("systemctl", "show", "--property=ExecMainStartTimestampMonotonic,NRestarts", UNIT)
    about = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    since_boot = int(about.get("ExecMainStartTimestampMonotonic") or 0) / 1e6
    by_itself = about.get("NRestarts", "0") != "0"  # systemd counts from the last start by hand
    now = time.time()
    began = now - (time.monotonic() - since_boot) if since_boot else None
    since = now - RECENT_SECONDS
    if began is not None:
        since = max(since, began - (END_SECONDS if by_itself else 0))
    return {
        "heap": said(since, NO_HEAP, f"--unit={UNIT}") or written(folder, since),
        "kernel": said(since, KERNEL, "--dmesg"),
        "heap_most": heap_most(folder),
        "age": None if began is None else round(now - began, 1),
    }


def said(since: float, pattern: str, *where: str) -> list[str]:
    """The newest lines of the journal that hold a pattern. journalctl ends with 1 where there is none."""
    words = [
        "--quiet",
        "--no-pager",
        "--output=cat",
        f"--since=@{int(since)}",
        f"--grep={pattern}",
        "--reverse",
    ]
    done = subprocess.run(
        ["journalctl", *words, f"--lines={LINES}", *where],
        capture_output=True,
        timeout=TOOL_SECONDS,
        check=False,
    )
    return lines(done.stdout.decode(errors="replace"))


def lines(text: str) -> list[str]:
    """Without what could steer a terminal, and short."""
    plain = re.sub(r"[^\x20-\x7e\u00a0-\uffff\n]", "?", text)
    return [line.strip()[:LONGEST] for line in plain.splitlines() if line.strip()][:LINES][::-1]


def written(folder: str, since: float) -> list[str]:
    """Failure captures and javacores that name it, told by their file names: a dump may hold a patient."""
    paths = [*Path("/var/log/liberty/ffdc").glob("ffdc_*.log"), *Path(folder).glob("javacore*.txt")]
    fresh = [path for path in paths if path.stat().st_mtime >= since]
    found = [path for path in fresh if NO_HEAP in path.read_text(errors="replace")[:HEAD]]
    return [f"{path}: {NO_HEAP}" for path in found[-LINES:]]


def heap_most(folder: str) -> int | None:
    """Bytes that -Xmx allows; the last one wins, as for Java."""
    path = Path(folder) / "jvm.options"
    found = (
        re.findall(r"^\s*-Xmx(\d+)([kKmMgG]?)\s*$", path.read_text(), re.MULTILINE) if path.is_file() else []
    )
    return int(found[-1][0]) * SIZES[found[-1][1].lower()] if found else None


# --- disks and answers


def read_only() -> list[str]:
    """File systems that should be written to, and that the kernel only reads."""
    mounted = {}
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _source, path, _kind, options = line.split()[:4]
        mounted[path] = options.split(",")
    return [path for path in WRITTEN if "ro" in mounted.get(path, ())]


def served(address: str, port: int, path: str) -> dict[str, Any]:
    """Liberty's answer to its own host, past every firewall between. Its certificate must be the estate's."""
    trust = ssl.create_default_context(cafile=CA)
    trust.check_hostname = False
    connection = http.client.HTTPSConnection(address, port, timeout=ANSWER_SECONDS, context=trust)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return {"status": answer.status, "trouble": down(answer.read(65536))}
    except (OSError, http.client.HTTPException) as error:
        return {"status": None, "trouble": (str(error) or type(error).__name__)[:LONGEST]}
    finally:
        connection.close()


def down(answer: bytes) -> str:
    try:
        checks = json.loads(answer)["checks"]
        return ", ".join(str(check["name"]) for check in checks if check["status"] == "DOWN")[:LONGEST]
    except (ValueError, KeyError, TypeError):
        return ""


# --- threads


def threads(folder: str) -> dict[str, Any] | None:
    """The state of Liberty's process, and what a thread dump of it says; None where none runs."""
    pid = java()
    if pid is None:
        return None
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    state = re.search(r"^State:\s+(\S)", status, re.MULTILINE)
    caught = re.search(r"^SigCgt:\s+([0-9a-f]+)", status, re.MULTILINE)
    told: dict[str, Any] = {"state": state[1] if state else "?"}
    handles = caught is not None and int(caught[1], 16) & 1 << signal.SIGQUIT - 1
    if told["state"] in "Tt" or not handles:
        return told  # one that is stopped prints nothing, one that does not handle the signal would die of it
    return {**told, **read_dump(dump(pid, folder))}


def java() -> int | None:
    for name in os.listdir("/proc"):  # noqa: PTH208
        try:
            ours = name.isdigit() and f"/{UNIT}\n" in Path(f"/proc/{name}/cgroup").read_text() + "\n"
            if ours and Path(f"/proc/{name}/comm").read_text().strip() == "java":
                return int(name)
        except OSError:
            continue  # it ended while it was looked at
    return None


def dump(pid: int, folder: str) -> str:
    """What Java writes on SIGQUIT: HotSpot into its journal, until its heap ends it; OpenJ9 into a file."""
    began = int(time.time())
    os.kill(pid, signal.SIGQUIT)
    deadline, text = time.monotonic() + DUMP_SECONDS, ""
    while time.monotonic() < deadline:
        time.sleep(0.3)
        words = ["--quiet", "--no-pager", "--output=cat", f"--since=@{began}", f"--unit={UNIT}"]
        found = run("journalctl", *words)
        text = found[found.rfind("Full thread dump") :] if "Full thread dump" in found else ""
        if re.search(r"^Heap$", text, re.MULTILINE):
            break
        cores = [path for path in Path(folder).glob("javacore*.txt") if path.stat().st_mtime >= began]
        if cores and (core := cores[0].read_text(errors="replace")).rstrip().endswith("END OF DUMP"):
            return core
    return text


def read_dump(text: str) -> dict[str, Any]:
    """A thread dump in numbers, and the names of the threads of its deadlocks."""
    if text.startswith("0SECTION") or "\n1LKDEADLOCK" in text:  # OpenJ9's says no more that is compared
        names = re.findall(r'^2LKDEADLOCKTHR\s+Thread "([^"\n]{1,80})"', text, re.MULTILINE)
        return {"dumped": True, "count": text.count("\n3XMTHREADINFO "), "deadlocked": sorted(set(names))}
    body, _mark, deadlocks = text.partition("Java-level deadlock")
    entries = re.split(r'^(?=")', body, flags=re.MULTILINE)[1:]
    requests = [entry for entry in entries if entry.startswith('"Default Executor-thread-')]
    busy = [entry for entry in requests if not any(word in entry for word in IDLE)]
    names = re.findall(
        r'^"([^"\n]{1,80})":?$', deadlocks.partition("Java stack information")[0], re.MULTILINE
    )
    return {
        "dumped": bool(entries),
        "count": len(entries),
        "deadlocked": list(dict.fromkeys(lines("\n".join(names))))[::-1] if names else [],
        "busy": len(busy),
        "blocked": sum("java.lang.Thread.State: BLOCKED" in entry for entry in busy),
        "pooled": sum(POOL in entry and "WAITING" in entry for entry in busy),
    }


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, timeout=TOOL_SECONDS, check=True)
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(json.loads(sys.argv[1]))) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what hangs is left behind
