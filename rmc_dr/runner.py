"""Runs one playbook. The only importer of ansible_runner; facts come back through set_stats alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rmc_dr import content, scratch
from rmc_dr.estate import Estate, ansible_environment, with_new_secrets
from rmc_dr.redact import Redactor

OnEvent = Callable[..., object]
Status = Literal["ok", "failed", "canceled"]
RUN_MARK = "RMC_DR_RUN"


@dataclass(frozen=True)
class Failure:
    """One task that failed on one host; ``message`` is Ansible's own.

    ``refused``: the module looked first and would not go on, as on a wrong machine; it changed nothing.
    ``unreachable``: nothing was done, for the host did not answer.
    """

    host: str
    task: str
    message: str
    refused: bool = False
    unreachable: bool = False


@dataclass(frozen=True)
class Outcome:
    """What one playbook did. ``facts`` is what it published through set_stats; ``seconds`` is wall time.

    ``canceled`` means killed in the middle: what it had changed is unknown until observed again.
    """

    status: Status
    seconds: float
    changed: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()

    @property
    def said(self) -> str:
        """Why it did not end well: the first failure's words, else its status."""
        return self.failures[0].message if self.failures else self.status


class _Listener:
    """Turns Ansible's events into journal events and keeps what the outcome needs."""

    def __init__(self, on_event: OnEvent, progress: Path) -> None:
        self.on_event = on_event
        self.progress = progress
        self.reported = ""
        self.changed = 0
        self.facts: dict[str, Any] = {}
        self.failures: list[Failure] = []

    def handle(self, event: dict[str, Any]) -> bool:
        kind, data = event["event"], event.get("event_data", {})
        task, host = data.get("task", ""), data.get("host", "")
        result = data.get("res") or {}
        if kind == "playbook_on_task_start" and "validate_argument_spec" not in data.get("task_action", ""):
            self.on_event("task", task=task, status="started")
        elif kind == "runner_on_ok":
            if data.get("task_action", "").endswith("debug") and isinstance(result.get("msg"), str):
                self.on_event("note", text=result["msg"], host=host)
            elif result.get("changed"):
                self.changed += 1
                self.on_event("task", task=task, host=host, status="changed")
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            status = kind.removeprefix("runner_on_")
            message = _said(result)
            refused, unreachable = bool(result.get("refused")), status == "unreachable"
            self.failures.append(Failure(host, task, message, refused, unreachable))
            self.on_event("task", task=task, host=host, status=status, message=message)
        elif kind == "playbook_on_stats":
            self.facts = dict(data.get("artifact_data") or {})
            # A task that hides its result hides whether it changed something; Ansible's own count does not.
            self.changed = max(self.changed, sum((data.get("changed") or {}).values()))
            # Where a play may go on without a host (ignore_unreachable), Ansible does not count it as lost.
            lost = data.get("dark") or {}
            self.failures = [one for one in self.failures if not one.unreachable or one.host in lost]
        return True

    def poll_progress(self) -> None:
        with suppress(OSError):
            text = self.progress.read_text().strip()
            if text and text != self.reported:
                self.reported = text
                done, total = text.split()[:2]
                self.on_event("progress", done=int(done), total=int(total))


def run_playbook(
    estate: Estate,
    playbook: str,
    *,
    variables: Mapping[str, Any],
    on_event: OnEvent,
    log: Path,
    canceled: Callable[[], bool] = lambda: False,
    run_id: str = "",
    limit: str | None = None,
) -> Outcome:
    """Run ``playbooks/<playbook>`` against the estate and wait for it.

    ``variables`` are a few literals, never secrets or text from a log: Ansible trusts them as templates.
    What Ansible prints goes to ``log``. ``canceled`` is asked several times a second; true kills the run.
    """
    import ansible_runner

    started = time.monotonic()
    with scratch.folder() as work:
        listener = _Listener(on_event, work / "progress")

        def poll() -> bool:
            listener.poll_progress()
            return canceled()

        try:
            result = ansible_runner.run(
                private_data_dir=str(work / "runner"),
                project_dir=str(content.root() / "playbooks"),
                playbook=playbook,
                inventory=str(estate.inventory),
                extravars=dict(variables),
                limit=limit,
                envvars=_environment(estate, work, run_id),
                event_handler=listener.handle,
                cancel_callback=poll,
                quiet=True,
            )
            _keep_log(Path(result.config.artifact_dir) / "stdout", log, estate)
            status = _status(result.status, listener)
        finally:
            _close_connections(work / "ssh")
    seconds = time.monotonic() - started
    return Outcome(status, seconds, listener.changed, listener.facts, tuple(listener.failures))


def mark(run_id: str) -> str:
    """What a run's processes carry in their environment; another state folder's runs have other marks."""
    return f"{content.STATE}:{run_id}"


def end_leftovers(run_id: str) -> int:
    """Kill what an earlier, killed rmc-dr left running for this run; returns how many processes."""
    wanted = f"{RUN_MARK}={mark(run_id)}".encode()
    killed = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def _environment(estate: Estate, work: Path, run_id: str) -> dict[str, str]:
    for folder in ("ssh", "runner", "rendered"):
        (work / folder).mkdir(mode=0o700)
    return {
        **{key: ansible_environment()[key] for key in ("ANSIBLE_CONFIG", "ANSIBLE_NOCOLOR", "PATH")},
        "ANSIBLE_HOST_KEY_CHECKING": "True",  # ansible-runner switches it off unless told otherwise
        "ANSIBLE_LOCAL_TEMP": str(
            work / "rendered"
        ),  # templates with secrets in them go when the folder goes
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(work / "ssh"),
        "RMC_DR_INVENTORY": str(estate.inventory),
        "RMC_DR_EXECUTABLE": str(Path(sys.executable).parent / "rmc-dr"),
        "RMC_DR_PROGRESS": str(work / "progress"),
        RUN_MARK: mark(run_id),
    }


def _status(said: str, listener: _Listener) -> Status:
    if said == "canceled":
        return "canceled"
    return "ok" if said == "successful" and not listener.failures else "failed"


def _said(result: Mapping[str, Any]) -> str:
    """What the module said; of a loop what the first item that failed said."""
    items = [item for item in result.get("results", []) if isinstance(item, Mapping) and item.get("failed")]
    if items:
        return _said(items[0])
    texts = (result.get(key) for key in ("msg", "stderr", "stdout"))
    return next((" ".join(str(text).split())[:500] for text in texts if text), "no message")


def _keep_log(stdout: Path, log: Path, estate: Estate) -> None:
    """Keep what Ansible printed, behind what is there already: the log of an attempt that failed is wanted.

    Tasks with secrets carry no_log; masking is the second guard.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    redactor = Redactor(())
    for known in (estate, with_new_secrets(estate)):
        redactor.learn(known.secrets.values() if known.secrets else ())
    heading = f"== {datetime.now(UTC).isoformat(timespec='seconds')}\n"
    with suppress(FileNotFoundError):
        said = redactor.clean(stdout.read_text(errors="replace"))
        with log.open("a") as file:
            file.write(heading + said)


def _close_connections(folder: Path) -> None:
    """Shared SSH connections outlive the playbook; a host that is about to lose power must not keep one."""
    for socket in folder.glob("*"):
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "none"], capture_output=True, check=False
        )
