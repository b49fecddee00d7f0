"""By which words of which program a thing is recognised, and in which words of ours it is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from rmc_dr.i18n import _
from rmc_dr.timeline import Kind, Weight, What, told

USER = r"[A-Za-z_][A-Za-z0-9_.-]{0,31}"
ADDRESS = r"[0-9a-fA-F][0-9a-fA-F.:]{1,44}"
UNIT = re.compile(
    r"^(liberty|patroni|postgresql|etcd|pgbackrest|ceph|nftables|ssh|rmc-dr|verification)[\w@.:-]{0,80}$"
)
LONGEST_MATCHED = 2000
SSH = ("sshd", "sshd-session", "sshd-auth")


@dataclass(frozen=True)
class Rule:
    """``where`` are the programs or units that it is for; ``say`` tells it, with what was caught."""

    where: tuple[str, ...]
    pattern: re.Pattern[str]
    kind: Kind
    weight: Weight
    say: Callable[[dict[str, str]], str]


def _rule(where: str, pattern: str, kind: Kind, weight: Weight, say: Callable[[dict[str, str]], str]) -> Rule:
    return Rule(tuple(where.split()), re.compile(pattern, re.ASCII), kind, weight, say)


def _of(table: dict[str, Callable[[], str]]) -> Callable[[dict[str, str]], str]:
    return lambda caught: table[next(name for name in table if caught.get(name))]()


SERVER = "patroni.service"
RULES: tuple[Rule, ...] = (
    _rule(
        " ".join(SSH),
        rf"^Accepted \S{{1,40}} for (?P<user>{USER}) from (?P<address>{ADDRESS}) ",
        Kind.LOGIN,
        Weight.INFO,
        lambda caught: _("{user} logs in from {address}").format(**caught),
    ),
    _rule(
        " ".join(SSH),
        rf"^(?:Failed |Invalid user |Connection (?:closed|reset) by (?:authenticating|invalid) user )"
        rf".{{0,200}}?(?P<address>{ADDRESS}) port \d",
        Kind.LOGIN,
        Weight.WARNING,
        lambda caught: _("a login from {address} is refused").format(**caught),
    ),
    _rule(
        "sudo",
        rf"^\s{{0,8}}(?P<user>{USER}) : .{{0,400}}?USER=(?P<target>{USER}) ; .{{0,400}}?"
        r"COMMAND=(?P<program>[\w/.+-]{1,80})",
        Kind.SUDO,
        Weight.INFO,
        lambda caught: _("{user} runs {program} as {target}").format(**caught),
    ),
    _rule(
        "sudo su",
        r"authentication failure|incorrect password attempt|NOT in sudoers|command not allowed",
        Kind.SUDO,
        Weight.WARNING,
        lambda _caught: _("somebody is refused another user's rights"),
    ),
    _rule(
        "su",
        rf"session opened for user (?P<target>{USER})\(uid=\d+\) by (?P<user>{USER})?",
        Kind.SUDO,
        Weight.INFO,
        lambda caught: _("a session as {target} is opened").format(**caught),
    ),
    _rule(
        "kernel",
        r"(?P<memory>[Oo]ut of memory|oom-kill)"
        r"|(?P<disk>I/O error|EXT4-fs error|XFS .{0,80}corruption|critical medium error)"
        r"|(?P<hung>blocked for more than \d+ seconds)",
        Kind.ERROR,
        Weight.ERROR,
        _of(
            {
                "memory": lambda: _("the memory is used up: the kernel ends a process"),
                "disk": lambda: _("the kernel reports an error of a disk or its file system"),
                "hung": lambda: _("a process hangs in the kernel"),
            }
        ),
    ),
    _rule(
        "kernel",
        r"segfault at|(?P<link>[Ll]ink is [Dd]own)",
        Kind.ERROR,
        Weight.WARNING,
        lambda caught: _("a network link goes down") if caught.get("link") else _("a program crashes"),
    ),
    _rule(
        SERVER,
        r"(?P<auth>password authentication failed|no pg_hba\.conf entry|is not permitted to log in)"
        r"|(?P<full>remaining connection slots|too many (?:clients|connections))"
        r"|(?P<tls>could not accept SSL connection)"
        r"|(?P<nobody>FATAL:  (?:database|role) .{1,80} does not exist)",
        Kind.CONNECTION,
        Weight.ERROR,
        _of(
            {
                "auth": lambda: _("the database refuses a login"),
                "full": lambda: _("the database has no connection left"),
                "tls": lambda: _("the database refuses a connection that is not encrypted as it asks"),
                "nobody": lambda: _("somebody asks for a database or role that does not exist"),
            }
        ),
    ),
    _rule(
        SERVER,
        r"connection to client lost|could not (?:receive data from|send data to) client",
        Kind.CONNECTION,
        Weight.WARNING,
        lambda _caught: _("a client of the database is cut off"),
    ),
    _rule(
        SERVER,
        r"archive command failed|archiving write-ahead log file .{0,80} failed",
        Kind.ERROR,
        Weight.ERROR,
        lambda _caught: _("archiving of WAL fails"),
    ),
    _rule(
        SERVER,
        r"(?P<crash>database system was (?:interrupted|not properly shut down)"
        r"|terminating any other active server)"
        r"|(?P<killed>server process \(PID \d+\) (?:was terminated|exited))|(?P<panic>\bPANIC:  )",
        Kind.RESTART,
        Weight.ERROR,
        _of(
            {
                "crash": lambda: _("PostgreSQL recovers from a crash"),
                "killed": lambda: _("a process of PostgreSQL ends badly"),
                "panic": lambda: _("PostgreSQL panics"),
            }
        ),
    ),
    _rule(
        SERVER,
        r"(?P<ready>database system is ready to accept)"
        r"|received (?:fast|smart|immediate) shutdown request",
        Kind.RESTART,
        Weight.INFO,
        lambda caught: _("PostgreSQL is ready") if caught.get("ready") else _("PostgreSQL is told to stop"),
    ),
    _rule(
        SERVER,
        r"(?P<up>promoted self to leader|received promote request|selected new timeline ID)"
        r"|(?P<down>demoting self|demoted self|Demoting self)"
        r"|(?P<broken>replication terminated by primary|terminating walreceiver"
        r"|could not receive data from WAL stream|could not connect to the primary|terminating walsender)",
        Kind.REPLICATION,
        Weight.WARNING,
        _of(
            {
                "up": lambda: _("this host becomes the primary"),
                "down": lambda: _("this host stops being the primary"),
                "broken": lambda: _("replication breaks off"),
            }
        ),
    ),
    _rule(
        SERVER,
        r"(?P<stream>started streaming WAL from primary)|(?P<sync>is now a synchronous standby)",
        Kind.REPLICATION,
        Weight.INFO,
        lambda caught: (
            _("the standby follows the primary") if caught.get("stream") else _("the standby is synchronous")
        ),
    ),
    _rule(
        SERVER,
        r"FATAL:  (?:the database system is (?:starting up|shutting down|not yet accepting connections)"
        r"|terminating connection due to administrator command)",
        Kind.CONNECTION,
        Weight.WARNING,
        lambda _caught: _("the database sends its clients away while it starts or stops"),
    ),
    _rule(
        SERVER,
        r"\bFATAL:  |\b(?:CRITICAL|ERROR): (?! )",
        Kind.ERROR,
        Weight.ERROR,
        lambda _caught: _("PostgreSQL or Patroni reports an error"),
    ),
    _rule(
        SERVER,
        r"\bERROR:  ",
        Kind.ERROR,
        Weight.WARNING,
        lambda _caught: _("PostgreSQL refuses a statement"),
    ),
    _rule(
        "etcd.service",
        r'(?P<leader>lost leader|elected leader|became leader)|"level":"(?:error|fatal|panic)"',
        Kind.REPLICATION,
        Weight.WARNING,
        lambda caught: _("etcd changes its leader") if caught.get("leader") else _("etcd reports an error"),
    ),
    _rule(
        "liberty.service",
        r"OutOfMemoryError|Terminating due to java",
        Kind.ERROR,
        Weight.ERROR,
        lambda _caught: _("Java's memory is used up"),
    ),
    _rule(
        "pgbackrest.service",
        r"ERROR: \[\d{3}\]",
        Kind.ERROR,
        Weight.ERROR,
        lambda _caught: _("pgBackRest reports an error"),
    ),
)


# systemd's own word about a unit.
UNIT_RULES: tuple[tuple[re.Pattern[str], Weight, Callable[[dict[str, str]], str]], ...] = (
    (
        re.compile(r"Main process exited, code=(?P<code>\w{1,20}), status=(?P<status>[\w/]{1,20})", re.ASCII),
        Weight.ERROR,
        lambda caught: _("{unit} ends by itself ({code}, {status})").format(**caught),
    ),
    (
        re.compile(r"Failed with result '(?P<result>[\w-]{1,40})'", re.ASCII),
        Weight.ERROR,
        lambda caught: _("{unit} failed: {result}").format(**caught),
    ),
    (
        re.compile(r"killed by the OOM killer"),
        Weight.ERROR,
        lambda caught: _("{unit} is ended because the memory is used up").format(**caught),
    ),
    (
        re.compile(r"^Started "),
        Weight.INFO,
        lambda caught: _("{unit} is started").format(**caught),
    ),
    (
        re.compile(r"^Stopped "),
        Weight.INFO,
        lambda caught: _("{unit} is stopped").format(**caught),
    ),
)


def recognised(where: tuple[str, ...], text: str) -> tuple[Kind, Weight, What] | None:
    """The first rule of these programs and units that fits."""
    for rule in RULES:
        if not set(where) & set(rule.where):
            continue
        if found := rule.pattern.search(text[:LONGEST_MATCHED]):
            caught = {name: word for name, word in found.groupdict().items() if word}
            return rule.kind, rule.weight, told(rule.say, **caught)
    return None


def of_unit(unit: str, text: str) -> tuple[Kind, Weight, What] | None:
    """What systemd says of a unit that matters."""
    if not UNIT.match(unit):
        return None
    for pattern, weight, say in UNIT_RULES:
        if found := pattern.search(text[:LONGEST_MATCHED]):
            return Kind.RESTART, weight, told(say, unit=unit.removesuffix(".service"), **found.groupdict())
    return None
