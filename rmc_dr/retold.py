"""Sentences that a record keeps in its operator's language, told in the reader's."""

from __future__ import annotations

import re
from string import Formatter

from rmc_dr.i18n import catalogue, language

# What plans say that they destroy and bring back (rmc_dr/plans), as they stand in the catalogue.
SENTENCES = (
    "{host}: the boot partitions and the root filesystem",
    "{host}: every attachment on {path}, about {count} files and folders",
    "{host}: every attachment on {path}",
    "{host}: this node's copy of the database on {path}",
    "{host}: the database; everything that was archived comes back",
    "{host}: every write of every application after {moment}",
    "every write after {time}, unless it was archived after this look",
    "The database from the backup {label} of {taken}",
    "and what was archived since, up to {wal}, which was stored at {time}",
    "but the archive has a gap: nothing behind {wal} comes back",
    "From the backup {label} of {taken}, {size}",
    "From the backup {label}; the store did not tell more of it",
    "From the backup that pgBackRest chooses; the store did not answer",
    "How long it takes is unknown: the backup's size was not told",
    "How long it takes is unknown: no verification has measured it",
    "Copy and recovery should take about {minutes} min, at the speed that the verification of {at} measured",
)


def retold(text: str) -> str:
    """A recorded sentence in the language of who reads it now; what is no sentence of ours stays as it is."""
    for sentence in SENTENCES:
        for lang in ("en", "zh_CN"):
            if found := re.fullmatch(_pattern(catalogue(lang).gettext(sentence)), text):
                return catalogue(language()).gettext(sentence).format(**found.groupdict())
    return text


def _pattern(template: str) -> str:
    return "".join(
        re.escape(words) + (f"(?P<{name}>.+?)" if name else "")
        for words, name, _spec, _conversion in Formatter().parse(template)
    )
