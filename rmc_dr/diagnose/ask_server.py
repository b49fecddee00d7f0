"""Questions about the application server: its system, its disk, Liberty, and what users meet. Pure."""

from __future__ import annotations

from rmc_dr.check.judge_hosts import percent, reached_by
from rmc_dr.check.seen import Answer, FileSystem, Way
from rmc_dr.diagnose.question import UNKNOWN, Reply, question, unseen
from rmc_dr.diagnose.sight import Served, Sight
from rmc_dr.i18n import _
from rmc_dr.spoken import spoken
from rmc_dr.words import size

LIBERTY = "liberty.service"
YOUNG_SECONDS = 90  # so long after its start Liberty may still be silent
MIB = 1024**2


def server(sight: Sight) -> Reply:
    """How the application server's system answers."""
    found = sight.seen.hosts[sight.host]
    if found.answer is Answer.SYSTEM:
        return Reply("system", _("{host} answers over SSH").format(host=sight.host))
    if found.answer in (Answer.RESCUE, Answer.FOREIGN):
        seen = (
            _("{host} runs the rescue system")
            if found.answer is Answer.RESCUE
            else _("a key that nobody pinned answers at the address of {host}")
        )
        return Reply("other", seen.format(host=sight.host))
    opened = [
        name for name, reached in sight.seen.here.get(sight.host, {}).items() if reached.why is Way.OPEN
    ]
    if found.answer is Answer.UNREADABLE:
        seen = _("{host} takes the connection, and its system does not work: {said}")
        return Reply("broken", seen.format(host=sight.host, said=found.said or "-"))
    if found.answer is Answer.REFUSED or opened:
        return _without_ssh(sight, opened)
    if friends := reached_by(sight.seen, sight.host):
        seen = _("{host} answers {others}, and not this machine")
        return Reply("away", seen.format(host=sight.host, others=", ".join(friends)))
    if all(host.answer is Answer.SILENT for host in sight.seen.hosts.values()):
        return Reply(UNKNOWN, _("no host answers this machine: its own network first"))
    return Reply("silent", _("{host} answers nobody, while others answer").format(host=sight.host))


def _without_ssh(sight: Sight, opened: list[str]) -> Reply:
    logins = [login for login in sight.seen.logins if login.host == sight.host]
    if opened and logins and all(check.passed for login in logins for check in login.checks):
        return Reply("no-ssh", _("{host} serves its users, but takes no SSH").format(host=sight.host))
    return Reply("broken", _("{host} is up, takes no SSH and serves nobody").format(host=sight.host))


def disk(sight: Sight) -> Reply:
    """Whether its file systems take what is written."""
    facts, inside = sight.facts, sight.inside
    if inside and inside.read_only:
        return Reply("read-only", _("mounted read-only: {paths}").format(paths=", ".join(inside.read_only)))
    if facts is None or facts.filesystems is None or inside is None or inside.read_only is None:
        return unseen(sight, "inside", "mounts", "filesystems")
    for one in facts.filesystems:
        used = percent(one.size - one.free, one.size) or 0.0
        if used >= sight.limits.disk_percent.critical:
            seen = _("{path} is {used:.1%} full, {free} are left")
            return Reply("full", seen.format(path=one.path, used=used / 100, free=size(one.free)))
    for one in facts.filesystems:
        used = percent(one.inodes - one.inodes_free, one.inodes) or 0.0
        if used >= sight.limits.inodes_percent.critical:
            seen = _("{path} has used {used:.1%} of its inodes, {free} are left")
            return Reply("no-inodes", seen.format(path=one.path, used=used / 100, free=one.inodes_free))
    return Reply("room", ", ".join(_room(one) for one in facts.filesystems) or "-")


def _room(one: FileSystem) -> str:
    return _("{path}: {free} free").format(path=one.path, free=size(one.free))


def fence(sight: Sight) -> Reply:
    """Whether users are kept off on purpose."""
    if sight.facts is None or sight.facts.fence is None:
        return unseen(sight, "fence")
    if sight.facts.fence:
        return Reply("closed", _("the fence of {host} keeps users off").format(host=sight.host))
    return Reply("open", _("no fence on {host}").format(host=sight.host))


def liberty(sight: Sight) -> Reply:
    """Whether Liberty's unit runs; one that only waits for its next try does not."""
    unit = (sight.facts.units or {}).get(LIBERTY) if sight.facts else None
    if unit is None:
        return unseen(sight, "units")
    state = f"{LIBERTY}: {unit.active}, {unit.sub or '-'}, {unit.result or '-'}"
    process = sight.facts.process if sight.facts else None
    runs = unit.active in ("active", "activating", "reloading") and unit.sub != "auto-restart"
    if runs and process:
        state += _(", pid {pid}").format(pid=process.pid)
    if unit.restarts:
        state += _(", started again by itself {count} times").format(count=unit.restarts)
    return Reply("runs" if runs else "dead", state)


def answers(sight: Sight) -> Reply:
    """Whether Liberty answers anybody: asked from here, and from its own host past every firewall."""
    facts, inside, health = sight.facts, sight.inside, sight.health
    port = sight.wanted.ports["https"]
    if facts is None or facts.listening is None:
        return unseen(sight, "listening")
    if port not in facts.listening:
        return Reply("mute", _("nothing listens on port {port}").format(port=port))
    own = inside.live if inside else None
    if own and own.status is not None:
        return Reply(
            "answers",
            _("it answers on port {port} with status {status}").format(port=port, status=own.status),
        )
    if health and (health.live is not None or not health.trouble):
        return Reply("answers", _("it answers this machine on port {port}").format(port=port))
    if own:
        seen = _("port {port} takes the connection, and no answer comes even to its own host: {said}")
        return Reply("hung", seen.format(port=port, said=spoken(own.trouble)))
    return unseen(sight, "inside", "live")


def threads(sight: Sight) -> Reply:
    """Why it hangs, out of its threads."""
    found = sight.inside.threads if sight.inside else None
    if found is None:
        return unseen(sight, "inside", "threads")
    if found.state in ("T", "t"):
        return Reply(
            "stopped", _("the kernel holds its process stopped (state {state})").format(state=found.state)
        )
    if found.deadlocked:
        seen = _("Java itself found a deadlock of {count} threads: {names}")
        return Reply("deadlock", seen.format(count=len(found.deadlocked), names=", ".join(found.deadlocked)))
    if not found.dumped:
        return Reply("stuck", _("it does not even print its threads"))
    words = {"count": found.count, "busy": found.busy, "blocked": found.blocked}
    seen = _("{count} threads, {busy} at work on requests, {blocked} of them wait for a lock").format(**words)
    return Reply("stuck" if found.busy and found.blocked == found.busy else "unclear", seen)


def memory(sight: Sight) -> Reply:
    """Whether memory ended its newest run."""
    found = sight.inside.memory if sight.inside else None
    if found is None:
        return unseen(sight, "inside", "memory")
    unit = (sight.facts.units or {}).get(LIBERTY) if sight.facts else None
    if found.heap:
        return Reply("heap", _("its log says: {line}").format(line=found.heap[-1]) + _since(sight))
    if found.kernel or (unit and unit.result == "oom-kill"):
        line = found.kernel[-1] if found.kernel else "oom-kill"
        return Reply("kernel", _("the kernel ended it: {line}").format(line=line) + _since(sight))
    return Reply("none", _("no word of memory in the logs of its newest run"))


def _since(sight: Sight) -> str:
    """Where users are served again: since when; what is told of memory is then over."""
    age = sight.inside.memory.age if sight.inside and sight.inside.memory else None
    if age is None or application(sight).branch != "well":
        return ""
    return _("; it runs again since {minutes:.0f} min, and users log in").format(minutes=age / 60)


def heap_setting(sight: Sight) -> Reply:
    """Whether its heap may grow to what the estate allows."""
    found = sight.inside.memory if sight.inside else None
    if found is None or found.heap_most is None or sight.seen.heap_bytes is None:
        return unseen(sight, "memory", "jvm.options")
    words = {"has": found.heap_most // MIB, "should": sight.seen.heap_bytes // MIB}
    seen = _("jvm.options allows {has} MiB, the estate {should} MiB").format(**words)
    return Reply("smaller" if found.heap_most < sight.seen.heap_bytes else "same", seen)


def age(sight: Sight) -> Reply:
    """Whether it has only just begun."""
    found = sight.inside.memory.age if sight.inside and sight.inside.memory else None
    if found is None:
        return unseen(sight, "inside", "memory")
    seen = _("its process began {seconds:.0f} s ago").format(seconds=found)
    return Reply("young" if found < YOUNG_SECONDS else "old", seen)


def application(sight: Sight) -> Reply:
    """Whether the applications are ready, and a user's log-in works."""
    logins = [login for login in sight.seen.logins if login.host == sight.host]
    failed = [
        f"{login.application}: {check.name}: {check.detail}"
        for login in logins
        for check in login.checks
        if not check.passed
    ]
    ready, down = _ready(sight)
    if ready is False:
        return Reply("not-ready", _("not ready: {down}").format(down=down or "-"))
    if failed and sight.broken.blocks(sight.host, "https"):
        return Reply(UNKNOWN, _("this machine is kept off its port, so no log-in could be tried"))
    if failed:
        return Reply(
            "login-fails", _("ready, but a log-in fails: {said}").format(said="; ".join(failed)[:300])
        )
    if ready is None and not logins:
        return unseen(sight, f"health {sight.host}", "login")
    if not logins:
        return unseen(sight, "login")
    names = ", ".join(login.application for login in logins)
    return Reply("well", _("a log-in works: {names}").format(names=names))


def _ready(sight: Sight) -> tuple[bool | None, str]:
    """By the host's own word first: between it and us there may be a firewall."""
    own: Served | None = sight.inside.ready if sight.inside else None
    if own and own.status in (200, 503):
        return own.status == 200, "" if own.status == 200 else own.trouble
    if own and own.status is None and own.trouble:
        return False, spoken(own.trouble)
    health = sight.health
    if health is None or sight.broken.blocks(sight.host, "https"):
        return None, ""
    return health.ready, ", ".join(health.down) or health.trouble


QUESTIONS = {
    "server": question(server, "system", "silent", "away", "no-ssh", "broken", "other"),
    "disk": question(disk, "room", "full", "no-inodes", "read-only"),
    "fence": question(fence, "open", "closed"),
    "liberty": question(liberty, "runs", "dead"),
    "answers": question(answers, "answers", "hung", "mute"),
    "threads": question(threads, "deadlock", "stuck", "stopped", "unclear"),
    "memory": question(memory, "heap", "kernel", "none"),
    "heap-setting": question(heap_setting, "same", "smaller"),
    "age": question(age, "young", "old"),
    "application": question(application, "well", "not-ready", "login-fails"),
}
