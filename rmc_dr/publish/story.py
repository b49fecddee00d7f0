"""The story of a report that is given out: rendered, kept, noted, archived; and brought back."""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rmc_dr import content, locks
from rmc_dr.errors import BadInput, Error, Refused
from rmc_dr.estate import Estate
from rmc_dr.estate_secrets import known
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _
from rmc_dr.incident import attach
from rmc_dr.names import fitting
from rmc_dr.publish import archive, shelf
from rmc_dr.publish.shelf import Entry, File
from rmc_dr.redact import Redactor
from rmc_dr.report.document import Document
from rmc_dr.report.render import Rendered, render

READABLE = 0o644  # what was asked for with --to is meant for others


@dataclass(frozen=True)
class Published:
    """A report, its files, and what of it did not go well: ``not_archived`` is "" where the store has it."""

    entry: Entry
    paths: tuple[Path, ...]
    missing: tuple[str, ...]
    without_pdf: str
    not_archived: str


def publish(
    estate: Estate,
    document: Document,
    *,
    to: Path | None = None,
    to_store: bool = True,
    incident: str = "",
    said: Mapping[str, Any] = MappingProxyType({}),
) -> Published:
    """Give a report out: HTML, PDF and JSON here, each in ``to`` as well, then all in the store.

    It is noted in ``incident``, with what is ``said`` of it beside.

    A silent store costs nothing but the archiving, which the next one catches up. Raises BadInput where
    ``to`` cannot be written, before anything is made.
    """
    if to is not None:
        _make_ready(to)
    made = render(document, Redactor(known(estate)))
    entry, forms = _entry(made, incident)
    here = shelf.folder(estate.name)
    here.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, data in forms.items():
        write_atomically(here / name, data)
    shelf.add(estate.name, entry)
    paths = [here / name for name in forms]
    if to is not None:
        paths = [_given(to / name, data) for name, data in forms.items()]
    if incident:
        attach.attach_to(incident, "report", id=entry.id, kind=entry.kind, **said)
    done, why = catch_up(estate) if to_store else ([], _("it was not to be"))
    why = "" if any(one.id == entry.id for one in done) else why
    return Published(entry, tuple(paths), made.missing, made.without_pdf, why)


def catch_up(estate: Estate) -> tuple[list[Entry], str]:
    """Archive what the store does not have yet; returns that, and why one could not be, else ""."""
    done: list[Entry] = []
    why = ""
    busy = _("Process {pid} is archiving reports of this estate.")
    lock = content.STATE / "locks" / f"reports-{estate.name}.lock"
    try:
        with locks.only_one(lock, "reports-busy", busy):
            for entry in shelf.entries(estate.name).values():
                if entry.archived:
                    continue
                try:
                    archived = archive.send(estate, entry)
                except Refused as error:  # this one alone
                    why = error.message
                    continue
                shelf.say_archived(estate.name, archived)
                done.append(archived)
    except Error as error:
        return done, error.message
    return done, why


def all_known(estate: Estate) -> tuple[dict[str, Entry], str]:
    """The reports of this machine and of the store, newest first; and why the store did not tell, else ""."""
    found, silent = shelf.entries(estate.name), ""
    try:
        for entry in archive.listed(estate, found):
            found[entry.id] = entry
    except Error as error:
        silent = error.message
    return dict(sorted(found.items(), reverse=True)), silent


def bring_back(estate: Estate, name: str, to: Path) -> tuple[Entry, list[Path], str]:
    """Write a report's files to a folder, each proven by its SHA-256: out of the store, else from here.

    The last of what it returns says why the store did not give them, else "". Raises BadInput, and Refused
    where neither has what was made.
    """
    here = shelf.entries(estate.name)
    entry = shelf.find(name, here if fitting(name, list(here)) else all_known(estate)[0])
    _make_ready(to)
    silent, forms = "", {}
    for file in entry.files:
        data, why = _proven(estate, entry, file, ask_store=not silent)
        forms[file.name] = data
        silent = silent or why
    return entry, [_given(to / one, data) for one, data in forms.items()], silent


def _proven(estate: Estate, entry: Entry, file: File, *, ask_store: bool) -> tuple[bytes, str]:
    """The bytes whose SHA-256 is right, and why they are not the store's."""
    why = _("it is not archived")
    stored = next((one for one in entry.objects if one.name == file.name), None)
    if stored and ask_store:
        try:
            data = archive.fetched(estate, stored)
        except Error as error:
            why = error.message
        else:
            if _is(data, file):
                return data, ""
            why = _("what the store gives of {name} is not what was made").format(name=file.name)
    path = shelf.folder(estate.name) / file.name
    data = path.read_bytes() if path.is_file() else b""
    if not _is(data, file):
        raise Refused(
            "report-changed",
            _("Nowhere is {name} as it was made: {why}.").format(name=file.name, why=why.rstrip(".")),
            _("Keep both as evidence; make the report anew from the journal."),
        )
    return data, why


def _is(data: bytes, file: File) -> bool:
    return len(data) == file.bytes and hashlib.sha256(data).hexdigest() == file.sha256


def _entry(made: Rendered, incident: str) -> tuple[Entry, Mapping[str, bytes]]:
    document = made.document
    name = shelf.new_id(document.kind)
    forms = {"html": made.html.encode(), "pdf": made.pdf, "json": made.json.encode()}
    files = {f"{name}.{ending}": data for ending, data in forms.items() if data}
    entry = Entry(
        id=name,
        kind=document.kind,
        about=document.about,
        title=document.title,
        language=document.language,
        made=document.made.isoformat(timespec="seconds"),
        operator=getpass.getuser(),
        control=socket.gethostname(),
        files=tuple(File(one, len(data), hashlib.sha256(data).hexdigest()) for one, data in files.items()),
        incident=incident,
    )
    return entry, files


def _make_ready(to: Path) -> None:
    try:
        to.mkdir(parents=True, exist_ok=True)
        writable = os.access(to, os.W_OK)
    except OSError as error:
        raise _unwritable(to, error.strerror or str(error)) from None
    if not writable:
        raise _unwritable(to, _("not permitted"))


def _given(path: Path, data: bytes) -> Path:
    try:
        write_atomically(path, data, READABLE)
    except OSError as error:
        raise _unwritable(path, error.strerror or str(error)) from None
    return path


def _unwritable(path: Path, why: str) -> BadInput:
    return BadInput(
        "cannot-write",
        _("{path} cannot be written: {error}.").format(path=path, error=why),
        _("Name a folder that exists and has room; the report itself is not lost: `rmc-dr report list`."),
    )
