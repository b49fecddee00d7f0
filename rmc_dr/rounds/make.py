"""An inspection from its beginning to its record; and what is added to one by hand later."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rmc_dr import __version__
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.release_terms import Terms
from rmc_dr.rounds import record
from rmc_dr.rounds.history import Inspection
from rmc_dr.rounds.look import Tell, look

LONGEST_REMARK = 500
Events = list[tuple[str, Mapping[str, Any]]]


def marks(names: Sequence[str], ticks: Iterable[str], faults: Iterable[str]) -> Events:
    """What was looked at by hand: ``ticks`` are good, ``faults`` are ITEM=REMARK. Raises BadInput."""
    said = [(tick.strip(), True, "") for tick in ticks]
    for fault in faults:
        item, _equals, remark = fault.partition("=")
        if not remark.strip() or len(remark) > LONGEST_REMARK:
            raise BadInput(
                "fault-without-remark",
                _("{fault} does not say what is wrong, or says too much.").format(fault=fault[:80]),
                _('For example: --fault printers="the label printer jams". No patient\'s name, no data.'),
            )
        said.append((item.strip(), False, remark.strip()))
    for item, _good, _remark in said:
        if item not in names:
            raise BadInput(
                "unknown-item",
                _("Nothing that is looked at by hand is called {item}.").format(item=item),
                _("Known are: {items}. They stand in estate.yml under inspection.items.").format(
                    items=", ".join(names) or "-"
                ),
            )
    items = [item for item, _good, _remark in said]
    if twice := [item for item in items if items.count(item) > 1]:
        raise BadInput(
            "item-twice",
            _("{item} was given twice.").format(item=twice[0]),
            _("Either it is good, or it is at fault."),
        )
    operator = getpass.getuser()
    return [
        ("item-marked", {"item": item, "good": good, "remark": remark, "operator": operator})
        for item, good, remark in said
    ]


def consents(inspection: Terms, patches: Terms) -> Events:
    """Who agreed to what, as far as it was said."""
    return [
        (
            "consent",
            {
                "what": what,
                "by": terms.consent,
                "at": terms.agreed if terms.consent else None,
                "without": terms.without_consent,
            },
        )
        for what, terms in (("inspection", inspection), ("patches", patches))
        if terms.settled
    ]


def inspect(estate: Estate, added: Events, tell: Tell) -> Inspection:
    """Look at everything and keep it. Raises Refused where nothing was seen, Error where it is not kept."""
    facts = look(estate, record.inspections(estate.name), tell)
    config = estate.config
    secrets = estate.opened().values()
    name = record.create(
        secrets,
        {
            "estate": estate.name,
            "centre": config.centre,
            "timezone": config.timezone,
            "operator": getpass.getuser(),
            "host": socket.gethostname(),
            "tool_version": __version__,
            "days": config.inspection.days,
            "items": [item.model_dump() for item in config.inspection.items],
            "facts": facts.model_dump(mode="json"),
        },
    )
    return add(estate, name, added)


def add(estate: Estate, name: str, added: Events) -> Inspection:
    """Add what was found by hand, or agreed, to an inspection. Raises Error."""
    if added:
        record.append(name, estate.opened().values(), added)
    return record.read(name)
