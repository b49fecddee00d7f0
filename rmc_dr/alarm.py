"""What a watch does with an alarm: it opens an incident, or adds to the one that is open; else it says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from rmc_dr import notify, response
from rmc_dr.backups import Level
from rmc_dr.check.confirm import Key
from rmc_dr.check.contract import kept_out, ruled
from rmc_dr.check.findings import Area, Finding
from rmc_dr.check.watch import News
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import addresses, known
from rmc_dr.history import Event
from rmc_dr.i18n import _, speaking
from rmc_dr.incident import news as incident_news
from rmc_dr.incident import record, words
from rmc_dr.incident.history import IncidentState

RAISED, OVER = "raised", "over"


@dataclass(frozen=True)
class Taken:
    """What became of a look's news. ``raised`` and ``cleared`` are what no incident tells, so that somebody
    has to be told directly; ``trouble`` is why the incident could not be written, "" where nothing was wrong.
    """

    incident: str
    opened: bool
    raised: tuple[Finding, ...]
    cleared: tuple[Finding, ...]
    trouble: str = ""


@dataclass
class Keeper:
    """Brings one watch's alarms to the estate's incident: each once, and again until it is written there.

    ``taken`` are those that an incident holds. Closed by a person while its alarm stands it is not opened
    anew for that one.
    """

    estate: Estate
    standing: dict[Key, tuple[Finding, str | None]] = field(default_factory=dict)
    taken: set[Key] = field(default_factory=set)

    def remember(self) -> list[Finding]:
        """The alarms that an earlier watch has raised and noted in the open incident; they stand."""
        found: list[Finding] = []
        with suppress(Error, OSError):
            if state := record.open_incident(self.estate.name):
                found = list(filter(None, map(_finding, noted(state).values())))
        self.standing |= {one.key: (one, None) for one in found}
        self.taken |= {one.key for one in found}
        return found

    def take(self, news: News) -> Taken:
        """Whatever is wrong with the incident ends no watch and loses no alarm; the next look tries again."""
        self.standing |= {one.key: (one, ruled(one, news.seen)) for one in news.raised}
        for one in news.cleared:
            self.standing.pop(one.key, None)
        state, opened, trouble, ended = None, False, "", set[Key]()
        try:
            state = record.open_incident(self.estate.name)
            if fresh := self._fresh(news, state):
                if state is None:
                    state, opened = self._open(fresh), True
                state = self._add(state, fresh, () if opened else news.raised)
                self.taken |= fresh.keys()
            if state is not None and news.cleared:
                ended = self._end(state, news.cleared)
        except Exception as error:  # noqa: BLE001 (a record that is torn, locked or full must not cost the alarm)
            trouble = error.message if isinstance(error, Error) else str(error) or type(error).__name__
        self.taken -= {one.key for one in news.cleared}
        return Taken(
            state.incident if state else "",
            opened,
            tuple(one for one in news.raised if one.key not in self.taken),
            tuple(one for one in news.cleared if one.key not in ended),
            trouble,
        )

    def _fresh(self, news: News, state: IncidentState | None) -> dict[Key, tuple[Finding, str | None]]:
        """The alarms that belong into an incident and are in none; nothing where none is to be opened."""
        out = kept_out(news.found, news.seen)  # then what is down is so on purpose
        waiting = {
            key: (one, rule)
            for key, (one, rule) in self.standing.items()
            if key not in self.taken and not (out and rule is not None)
        }
        faulty = any(rule is not None for _one, rule in waiting.values())
        return waiting if faulty or state is not None else {}

    def _open(self, fresh: dict[Key, tuple[Finding, str | None]]) -> IncidentState:
        faults = [(one, rule) for one, rule in fresh.values() if rule is not None]
        with speaking(self.estate.config.language):
            title = _("found by the watch: {alarms}").format(alarms=_named(one for one, _rule in faults))
        return response.start(self.estate, title, _codes(rule for _one, rule in faults))

    def _add(
        self,
        state: IncidentState,
        fresh: dict[Key, tuple[Finding, str | None]],
        raised: Sequence[Finding],
    ) -> IncidentState:
        """Note each alarm once, class the fault by what is new, tell of those that were raised just now."""
        before = noted(state)
        for key, (one, _rule) in fresh.items():
            if key not in before:
                self._note(state, one, RAISED)
        nature = state.nature
        if codes := _codes(rule for _one, rule in fresh.values() if rule not in state.findings):
            state = response.classify(self.estate, codes)
        now = [one for one in raised if one.key in fresh]
        if now and state.nature == nature:  # else the new class has been told, with all that was found
            self._tell(state, RAISED, now)
        return state

    def _end(self, state: IncidentState, cleared: Sequence[Finding]) -> set[Key]:
        """Note the end of those that the incident holds; it is closed by a person alone."""
        before = noted(state)
        mine = [one for one in cleared if one.key in before]
        for one in mine:
            self._note(state, one, OVER)
        if mine:
            self._tell(state, OVER, mine)
        return {one.key for one in mine}

    def _note(self, state: IncidentState, one: Finding, how: str) -> None:
        """Without its text: what was read on a host may hold anything."""
        record.append(
            state.incident, known(self.estate), "attached", what="alarm", state=how, code=one.code,
            area=one.area.value, host=one.host, level=one.level.name,
        )  # fmt: skip

    def _tell(self, state: IncidentState, how: str, alarms: Sequence[Finding]) -> None:
        with record.held(state.incident, known(self.estate)) as journal:
            incident_news.write(
                journal, state, "watch", lambda: words.news_watch(how == OVER, _named(alarms))
            )
        incident_news.carry(state.inventory)


def noted(state: IncidentState) -> dict[Key, Event]:
    """The alarms that stand by an incident's record."""
    found: dict[Key, Event] = {}
    for event in state.attached("alarm"):
        key = (str(event.get("area")), str(event.get("host") or ""), str(event.get("code")))
        if event.get("state") == RAISED:
            found[key] = event
        else:
            found.pop(key, None)
    return found


def send(estate: Estate, over: bool, lines: Sequence[str]) -> str | None:
    """Tell whom the vault names directly, once; which of them could not be reached."""
    with speaking(estate.config.language):
        what = _("an alarm is over") if over else _("ALARM, somebody is needed")
        title = words.titled(estate.config.centre, what)
    return notify.unreached(addresses(estate), title, "\n".join([*lines, ""]))


def _finding(event: Event) -> Finding | None:
    """An alarm as an earlier watch noted it; None for a line that this version cannot read."""
    host, code = str(event.get("host") or ""), str(event.get("code"))
    with suppress(ValueError, KeyError):
        return Finding(Level[str(event.get("level"))], code, Area(str(event.get("area"))), host, host)
    return None


def _codes(rules: Iterable[str | None]) -> list[str]:
    """The incident's findings, each once."""
    return list(dict.fromkeys(filter(None, rules)))


def _named(alarms: Iterable[Finding]) -> str:
    return ", ".join(f"{one.code} ({one.host})" if one.host else one.code for one in alarms)
