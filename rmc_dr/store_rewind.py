"""Brings the backups in the store back to a moment, after somebody hid or wrote over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from rmc_dr import content
from rmc_dr.errors import BadInput, Error
from rmc_dr.estate import Estate
from rmc_dr.exclusive import alone
from rmc_dr.i18n import _
from rmc_dr.plans.moment import Moment
from rmc_dr.runner import run_playbook


@dataclass(frozen=True)
class Rewound:
    """Counts of objects: brought ``back``, ``hidden`` because they came later, or left as the ``same``."""

    back: int
    hidden: int
    same: int


def look(estate: Estate, moment: Moment) -> Rewound:
    """What a rewind would do; changes nothing. Raises BadInput without a moment, Error if the store fails."""
    return _play(estate, moment, look=True)


def rewind(estate: Estate, moment: Moment, break_lock: str | None = None) -> Rewound:
    """Do it. Raises BadInput, Locked or Refused before anything changes; Error where it ended in the middle,
    and it can be given again."""
    with alone(estate, "store rewind", break_lock):
        return _play(estate, moment, look=False)


def _play(estate: Estate, moment: Moment, *, look: bool) -> Rewound:
    if moment.time is None:
        raise BadInput(
            "moment-needed",
            _("A rewind needs a moment."),
            _("Write it as in {example}.").format(example="2026-11-24T02:30:00+08:00"),
        )
    outcome = run_playbook(
        estate,
        "store-rewind.yml",
        variables={"rewind_to": str(moment), "rewind_look": look},
        on_event=lambda *_event, **_fields: None,
        log=content.STATE / "restores" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-rewind.log",
    )
    told = [
        facts["rewound"]
        for facts in outcome.facts.values()
        if isinstance(facts, Mapping) and "rewound" in facts
    ]
    if outcome.status != "ok" or not told:
        said = outcome.said
        raise Error(
            "not-rewound",
            _("The store could not be rewound: {said}").format(said=said.rstrip(".") + "."),
            _("`rmc-dr store check` says what is wrong with it; the command can be given again."),
        )
    if too_large := int(told[0]["too_large"]):
        raise Error(
            "too-large",
            _("{count} objects are larger than one copy may be, and are left as they are.").format(
                count=too_large
            ),
            _("Copy their older versions by hand with the writer's key: docs/runbooks/store.md."),
        )
    return Rewound(**{field.name: int(told[0][field.name]) for field in fields(Rewound)})
