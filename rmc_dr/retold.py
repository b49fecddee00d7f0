"""Sentences that a record keeps in its operator's language, or a host in English, told in the reader's."""

from __future__ import annotations

import re
from string import Formatter

from rmc_dr.i18n import _, catalogue, language, speaking

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
)


def _of_hosts() -> tuple[str, ...]:
    """What the programs that are sent to hosts say by themselves, and why a host could not be asked."""
    with speaking("en"):
        return (
            _("no answer within {seconds} s"),
            _("ssh ended with {code}"),
            _("the server closed the connection"),
            _("the server speaks no TLS"),
            _("an unexpected message {kind}"),
            _("the server asks for authentication {code}"),
            _("the server answers with another nonce"),
            _("the server does not know the password itself"),
            _("the password is encrypted with Liberty's own key"),
            _("the password's variable is not defined"),
            _("its URL is none of PostgreSQL's driver"),
            _("certificate: {said}"),
            _("PostgreSQL did not tell how large it is"),
        )


def retold(text: str) -> str:
    """A recorded sentence in the language of who reads it now; what is no sentence of ours stays as it is."""
    for sentence in (*SENTENCES, *_of_hosts()):
        for lang in ("en", "zh_CN"):
            if found := re.fullmatch(_pattern(catalogue(lang).gettext(sentence)), text):
                return catalogue(language()).gettext(sentence).format(**found.groupdict())
    return text


def _pattern(template: str) -> str:
    return "".join(
        re.escape(words) + (f"(?P<{name}>.+?)" if name else "")
        for words, name, _spec, _conversion in Formatter().parse(template)
    )
