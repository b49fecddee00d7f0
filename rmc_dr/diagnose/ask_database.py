"""Questions about datasource and database: does a connection stand, and who or what refuses it. Pure."""

from __future__ import annotations

from rmc_dr.diagnose.ask_server import application
from rmc_dr.diagnose.question import UNKNOWN, Reply, question, unseen
from rmc_dr.diagnose.sight import Attempt, Expected, RoleSeen, Sessions, Sight, Source
from rmc_dr.i18n import _
from rmc_dr.pair import Name, verdict
from rmc_dr.spoken import known, spoken, way_word

WAITING_SECONDS = 3.0  # a lock that keeps a session waiting for so long is held, not only passed on
TORN = (Name.SPLIT_BRAIN, Name.DIVERGED)
STAGES = ("resolve", "connect", "tls", "auth", "query", "done")
STARTING = ("57P03", "57P01", "57P02")
BY_ROLE, BY_DATABASE = "InitializeSessionUserId", "CheckMyDatabase"


def connect(sight: Sight) -> Reply:
    """Whether a connection made there, with each datasource's own settings, reaches one that takes writes."""
    sources = sight.sources
    if sources is None:
        return unseen(sight, "sources")
    wrong = _wrong(sight)
    if wrong is None:
        return Reply("stands", "; ".join(_told(_best(source)) for source in sources) or "-")
    if isinstance(wrong, Expected):
        return Reply("fails", _("the configuration holds no datasource {id}").format(id=wrong.id))
    if wrong.trouble:
        return Reply(
            UNKNOWN,
            _("the datasource {id} could not be read: {why}").format(id=wrong.id, why=spoken(wrong.trouble)),
        )
    best = _best(wrong)
    if best is None:
        return Reply("fails", _("the datasource {id} names no host").format(id=wrong.id))
    said = _told(best)
    if best.stands:
        said = _("{said}, but it only reads").format(said=said)
    return Reply("fails", f"{wrong.id}: {said}")


def _wrong(sight: Sight) -> Source | Expected | None:
    """The first datasource through which nobody writes; one that the estate wants and that is not there.

    What cannot be read comes last: a proven fault explains more than a gap.
    """
    sources = {source.id: source for source in sight.sources or ()}
    missing = [wanted for name, wanted in sight.expected.items() if name not in sources]
    failing = [
        source for source in sources.values() if not source.trouble and not any(map(_writes, source.attempts))
    ]
    unread = [source for source in sources.values() if source.trouble]
    found: list[Source | Expected] = [*failing, *missing, *unread]
    return found[0] if found else None


def _writes(attempt: Attempt) -> bool:
    return attempt.stands and attempt.recovery is False


def _best(source: Source | None) -> Attempt | None:
    """One that takes writes; else the refusal that came furthest, before a standby that only reads."""
    if source is None or not source.attempts:
        return None
    return max(source.attempts, key=_weight)


def _weight(attempt: Attempt) -> tuple[bool, bool, bool, int]:
    return (
        _writes(attempt),
        not attempt.stands,
        bool(attempt.sqlstate),
        STAGES.index(attempt.stage),
    )


def _told(attempt: Attempt | None) -> str:
    if attempt is None:
        return "-"
    where = f"{attempt.host}:{attempt.port}"
    if attempt.stands:
        return _("{where} let the datasource in, in {ms:.0f} ms").format(where=where, ms=attempt.ms)
    said = f"{attempt.sqlstate} {attempt.said}" if attempt.sqlstate else _ended(attempt)
    step = {
        "resolve": _("its name leads nowhere"),
        "connect": _("no connection"),
        "tls": _("no TLS"),
        "auth": _("not let in"),
        "query": _("let in, but no answer"),
    }[attempt.stage]
    return f"{where}: {step}: {said or '-'}"


def _ended(attempt: Attempt) -> str:
    """How a connection ended without a word of PostgreSQL's."""
    return known(attempt.said) or way_word(attempt.why) or attempt.said


def differs(sight: Sight) -> Reply:
    """In what the failing datasource is not as the estate has it; the outermost first."""
    wrong = _wrong(sight)
    if wrong is None:
        return Reply("nothing", _("every datasource works"))
    if isinstance(wrong, Expected):
        return Reply("absent", _("the estate has a datasource {id}, the server none").format(id=wrong.id))
    right = sight.expected.get(wrong.id)
    if right is None:
        return Reply(UNKNOWN, _("the estate has no datasource {id} to compare with").format(id=wrong.id))
    for branch, has, should in _settings(wrong, right):
        if has != should:
            words = {"id": wrong.id, "has": has or "-", "should": should}
            return Reply(branch, _("{id} has {has}, the estate {should}").format(**words))
    if wrong.password is False:
        return Reply("password", _("the password of {id} is not the estate's").format(id=wrong.id))
    if wrong.password is None:
        return Reply(UNKNOWN, _("the password of {id} could not be compared").format(id=wrong.id))
    return Reply("nothing", _("{id} is in every part as the estate has it").format(id=wrong.id))


def _settings(wrong: Source, right: Expected) -> list[tuple[str, str, str]]:
    def hosts(ends: frozenset[tuple[str, int]]) -> str:
        return ", ".join(sorted({name for name, _port in ends}))

    def ports(ends: frozenset[tuple[str, int]]) -> str:
        return ", ".join(sorted({str(port) for _name, port in ends}))

    has = frozenset(wrong.hosts)
    return [
        ("host", hosts(has), hosts(right.hosts)),
        ("port", ports(has), ports(right.hosts)),
        ("database", wrong.database, right.database),
        ("user", wrong.user, right.user),
        ("tls", wrong.sslmode, right.sslmode),
        ("tls", wrong.sslrootcert, right.sslrootcert),
    ]


def refusal(sight: Sight) -> Reply:
    """Who refuses a datasource that is as it should be, by the server's own code and catalogue."""
    wrong = _wrong(sight)
    best = _best(wrong) if isinstance(wrong, Source) else None
    if best is None or not isinstance(wrong, Source):
        return unseen(sight, "sources")
    said = _told(best)
    if best.stage in ("resolve", "connect"):
        return Reply(UNKNOWN, _("{said}, though the way was open just before").format(said=said))
    if best.stands:
        return Reply("only-reads", said)
    if best.stage == "tls" and not best.sqlstate:
        if best.why:
            return Reply("mute", said)
        return Reply("certificate" if best.said.startswith("certificate") else "tls", said)
    if best.sqlstate:
        return _by_code(sight, wrong, best, said)
    return Reply("mute", said)


def _by_code(sight: Sight, source: Source, best: Attempt, said: str) -> Reply:
    role = next((one for one in _roles(sight) if one.name == source.user), None)
    match best.sqlstate:
        case "28P01":
            return _by_password(sight, source, role, said)
        case "28000" if best.routine == BY_ROLE or (role and not role.can_login):
            return Reply("role-locked", said)
        case "53300":
            limits = {BY_ROLE: "role-limit", BY_DATABASE: "database-limit"}
            return Reply(limits.get(best.routine, "server-limit"), said)
        case "3D000":
            return Reply("no-database", said)
        case code if code in STARTING:
            return Reply("starting", said)
    return Reply("not-allowed", said)


def _by_password(sight: Sight, source: Source, role: RoleSeen | None, said: str) -> Reply:
    """A wrong password, an expired one and an unknown role have one code; the catalogue tells them apart."""
    if sight.sessions is None:
        seen = _("{said}; whether the role has expired: {why}")
        return Reply(UNKNOWN, seen.format(said=said, why=sight.missing("sessions")))
    if role is None:
        seen = _("{said}; the catalogue knows no role {name}")
        return Reply("not-allowed", seen.format(said=said, name=source.user))
    if role.expired:
        seen = _("{said}; the catalogue: the password of {name} is no longer valid")
        return Reply("role-expired", seen.format(said=said, name=role.name))
    return Reply("password", said)


def _roles(sight: Sight) -> tuple[RoleSeen, ...]:
    return sight.sessions.roles if sight.sessions else ()


def primary(sight: Sight) -> Reply:
    """Whether one database server takes writes."""
    pair = sight.seen.pair
    if pair is None:
        return unseen(sight, "pair")
    judged = verdict(pair)
    seen = _("the pair is {verdict}: {reasons}").format(
        verdict=judged.name, reasons=" ".join(judged.reasons) or "-"
    )
    if judged.name in TORN:
        return Reply("torn", seen)
    if len(sight.seen.primaries) == 1:
        return Reply("one", seen)
    return Reply(UNKNOWN if judged.name is Name.UNKNOWN else "none", seen)


def locks(sight: Sight) -> Reply:
    """Whether sessions wait for a lock, and whether its holder works or has forgotten it."""
    found = sight.later
    if found is None:
        return unseen(sight, "activity")
    if not found.waiting or found.waiting_seconds < WAITING_SECONDS:
        return Reply("free", _("nobody waits for a lock on {host}").format(host=found.host))
    seen = _("{count} sessions wait, the first for {seconds:.0f} s, behind {session}").format(
        count=found.waiting, seconds=found.waiting_seconds, session=found.blocked_by or "?"
    )
    return Reply("idle" if "idle in transaction" in found.blocked_by else "busy", seen)


def pool(sight: Sight) -> Reply:
    """Whether Liberty has as many sessions as its pool may hold, while its applications get none."""
    if application(sight).branch == "well":
        return Reply("free", _("the applications get their connections"))
    if sight.sessions is None or sight.sources is None:
        return unseen(sight, "sessions", "sources")
    address = sight.wanted.address
    for source in sight.sources:
        if source.pool_most is None:
            continue
        states = _states(sight.sessions, source.user, address)
        if sum(states.values()) >= source.pool_most:
            pooled = sight.inside.threads.pooled if sight.inside and sight.inside.threads else 0
            seen = _(
                "{id} has {count} sessions ({states}), its pool holds {most}; {pooled} threads wait for one"
            )
            return Reply(
                "full",
                seen.format(
                    id=source.id,
                    count=sum(states.values()),
                    states=", ".join(f"{count} {state or '-'}" for state, count in sorted(states.items())),
                    most=source.pool_most,
                    pooled=pooled,
                ),
            )
    counts = ", ".join(
        f"{source.id} {sum(_states(sight.sessions, source.user, address).values())}/{source.pool_most or '?'}"
        for source in sight.sources
    )
    return Reply("free", _("sessions of the pools' size: {counts}").format(counts=counts or "-"))


def _states(sessions: Sessions, user: str, address: str) -> dict[str, int]:
    return {row.state: row.count for row in sessions.rows if (row.user, row.address) == (user, address)}


QUESTIONS = {
    "connect": question(connect, "stands", "fails"),
    "differs": question(differs, "host", "port", "database", "user", "tls", "password", "absent", "nothing"),
    "refusal": question(
        refusal,
        "role-locked",
        "role-expired",
        "role-limit",
        "database-limit",
        "server-limit",
        "password",
        "not-allowed",
        "no-database",
        "certificate",
        "tls",
        "starting",
        "only-reads",
        "mute",
    ),
    "primary": question(primary, "one", "none", "torn"),
    "locks": question(locks, "free", "idle", "busy"),
    "pool": question(pool, "full", "free"),
}
