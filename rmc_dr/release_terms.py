"""What the contract asks of a release: notes in Chinese, a word on training, the hospital's consent."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rmc_dr.errors import BadInput
from rmc_dr.i18n import _
from rmc_dr.plans.moment import read_time

LONGEST_NOTES = 8000
LARGEST_FILE = 1 << 20
CHINESE = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
PATH = re.compile(r"[/~.]\S*|\S+\.(txt|md)")


@dataclass(frozen=True)
class Terms:
    """Who of the hospital agreed (``consent``) and when; or else why nobody was asked (``without_consent``).

    What is empty or None was not said yet.
    """

    notes: str = ""
    training: bool | None = None
    consent: str = ""
    agreed: datetime | None = None
    without_consent: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The options that would say what was not said."""
        said = {
            "--notes": bool(self.notes),
            "--training": self.training is not None,
            "--consent": self.settled,
        }
        return tuple(option for option, given in said.items() if not given)

    @property
    def settled(self) -> bool:
        """Whether somebody agreed, or it was said why nobody was asked."""
        return bool(self.consent or self.without_consent)

    def with_consent(self, who: str, now: datetime) -> Terms:
        return replace(self, consent=who, agreed=self.agreed or now)

    def record(self) -> Mapping[str, Any]:
        """As it stands in the run record."""
        consent = {"by": self.consent, "at": self.agreed} if self.consent else None
        return {
            "notes": self.notes,
            "training": self.training,
            "consent": consent,
            "without_consent": self.without_consent or None,
        }


def consented(who: str | None, at: str | None, without: str | None, zone: str, now: datetime) -> Terms:
    """What the options say of the consent; ``zone`` is the estate's. Raises BadInput."""
    agreed = read_time(at, zone, now) if at else None
    terms = Terms(agreed=agreed, without_consent=(without or "").strip())
    name = (who or "").strip()
    terms = terms.with_consent(name, now) if name else terms
    refuse_both(terms)
    return terms


def read_notes(given: str) -> str:
    """The notes, out of the file where the words name one. Raises BadInput unless they are Chinese text."""
    if os.path.isfile(given):  # noqa: PTH113 (a long text is no path)
        text = _file(Path(given))
    elif PATH.fullmatch(given):
        raise BadInput(
            "notes-unreadable",
            _("There is no file {path}.").format(path=given),
            _("Save the release notes as plain text in UTF-8."),
        )
    else:
        text = given
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    if not CHINESE.search(text) or "\0" in text:
        raise BadInput(
            "notes-not-chinese",
            _("The release notes hold no Chinese."),
            _('The hospital reads them. Give a text, or a file with one: --notes "修正报表打印".'),
        )
    if len(text) > LONGEST_NOTES:
        raise BadInput(
            "notes-too-long",
            _("The release notes have {count} characters; at most {limit} are kept.").format(
                count=len(text), limit=LONGEST_NOTES
            ),
            _("Say what changes for the users; the vendor's whole document can be kept beside."),
        )
    return text


def _file(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(LARGEST_FILE)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadInput(
        "notes-unreadable",
        _("{path} is no text.").format(path=path),
        _("Save the release notes as plain text in UTF-8."),
    )


def refuse_both(terms: Terms) -> None:
    """Raises BadInput where somebody agreed and nobody was asked."""
    if terms.consent and terms.without_consent:
        raise BadInput(
            "consent-twice",
            _("Either somebody agreed, or nobody was asked."),
            _("Give --consent WHO or --without-consent REASON, not both."),
        )


def require(terms: Terms, application: str, release: str) -> None:
    """Raises BadInput where something was not said, and nobody is there to be asked."""
    if terms.missing:
        raise BadInput(
            "release-terms",
            _("Without a terminal a deploy needs {options}.").format(options=", ".join(terms.missing)),
            _(
                'For example: rmc-dr deploy {app} --release {release} --notes "修正报表打印" --training no '
                '--consent "信息科 李主任" --yes; in an emergency --without-consent REASON.'
            ).format(app=application, release=release),
        )
