"""A report given out: kept, listed, archived once the store answers, brought back only as it was made."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from botocore.response import StreamingBody
from click.testing import CliRunner, Result
from example_document import document

from rmc_dr import secrets
from rmc_dr.cli.common import Context
from rmc_dr.cli.report import report as command
from rmc_dr.errors import Error
from rmc_dr.estate import Estate, Secrets
from rmc_dr.publish import archive, shelf, story

UNTIL = datetime(2027, 11, 25, tzinfo=UTC)


class Store:
    """A bucket that keeps every version, newest first where it lists them."""

    def __init__(self) -> None:
        self.versions: dict[str, list[bytes]] = {}
        self.down = False
        self.locks = True

    def _up(self) -> None:
        if self.down:
            raise EndpointConnectionError(endpoint_url="https://store1")

    def put_object(self, *, Key: str, Body: bytes, **_more: Any) -> dict[str, str]:
        self._up()
        self.versions.setdefault(Key, []).append(Body)
        return {"VersionId": str(len(self.versions[Key]))}

    def get_object(self, *, Key: str, VersionId: str, **_more: Any) -> dict[str, Any]:
        self._up()
        data = self.versions[Key][int(VersionId) - 1]
        return {"Body": StreamingBody(io.BytesIO(data), len(data))}

    def get_object_retention(self, **_asked: Any) -> Any:
        if not self.locks:
            raise ClientError({"Error": {"Code": "NoSuchObjectLockConfiguration"}}, "GetObjectRetention")
        return {"Retention": {"RetainUntilDate": UNTIL}}

    def get_paginator(self, _name: str) -> Store:
        return self

    def paginate(self, *, Prefix: str, **_more: Any) -> Iterator[dict[str, Any]]:
        self._up()
        for key, data in self.versions.items():
            if key.startswith(Prefix):
                numbers = range(len(data), 0, -1)
                yield {"Versions": [{"Key": key, "VersionId": str(number)} for number in numbers]}


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    store = Store()
    monkeypatch.setattr(archive, "client", lambda _estate, _key: store)
    return store


@pytest.fixture
def ready(ours: Estate) -> Estate:
    secrets.make(ours)
    return replace(ours, secrets=Secrets({"apps": {"x": "s3cr3t-of-the-estate"}}))


def call(estate: Estate, *words: str) -> Result:
    context = Context()
    context.__dict__["_estate"] = estate
    return CliRunner().invoke(command, list(words), obj=context, standalone_mode=False)


def test_it_is_kept_archived_listed_and_comes_back_to_the_byte(ready: Estate, store: Store, tmp_path: Path):
    done = story.publish(ready, document(), to=tmp_path / "given")
    assert (done.not_archived, done.without_pdf, done.missing) == ("", "", ())
    assert [path.suffix for path in done.paths] == [".html", ".pdf", ".json"]
    assert {path.stat().st_mode & 0o777 for path in done.paths} == {0o644}
    assert shelf.folder(ready.name).stat().st_mode & 0o777 == 0o700
    name = done.entry.id
    assert set(store.versions) == {
        *(f"reports/{name}/{name}.{ending}" for ending in ("html", "pdf", "json")),
        f"reports/index/{name}.json",
    }
    told = json.loads(call(ready, "list", "--json").output)["reports"]
    assert [(one["id"], one["archived"], one["locked_until"]) for one in told] == [
        (name, True, "2027-11-25T00:00:00+00:00")
    ]
    assert "2027-11-25" in call(ready, "list").output
    back = call(ready, "open", "last", "--to", str(tmp_path / "back"))
    assert "Proven" in back.output
    for path in done.paths:
        assert (tmp_path / "back" / path.name).read_bytes() == path.read_bytes()


def test_the_bucket_alone_tells_what_there_is(ready: Estate, store: Store, tmp_path: Path):
    name = story.publish(ready, document()).entry.id
    for path in shelf.folder(ready.name).iterdir():
        path.unlink()
    store.versions[f"reports/index/{name}.json"].append(b'{"said": "{}", "signature": "a thief"}')
    store.versions["reports/index/20990101T000000Z-incident-0000.json"] = [b"\xff"]
    found, silent = story.all_known(ready)
    assert (list(found), silent) == ([name], "")
    entry, paths, why = story.bring_back(ready, name[:12], tmp_path / "back")
    assert (entry.id, len(paths), why) == (name, 3, "")


def test_a_dead_store_hinders_nothing_and_the_next_report_catches_up(ready: Estate, store: Store):
    store.down = True
    first = story.publish(ready, document())
    assert "not archived" in first.not_archived
    assert all(path.is_file() for path in first.paths)
    shown = call(ready, "list")
    assert "not archived" in shown.output
    assert "The object store does not give it" in shown.output
    assert call(ready, "archive").return_value == 1
    store.down = False
    second = story.publish(ready, document())
    assert second.not_archived == ""
    assert all(one.archived for one in shelf.entries(ready.name).values())
    assert len(shelf.entries(ready.name)) == 2
    assert "every report" in call(ready, "archive").output


def test_one_damaged_report_does_not_keep_the_next_from_the_store(ready: Estate, store: Store):
    store.down = True
    first = story.publish(ready, document())
    first.paths[0].write_bytes(b"x")
    store.down = False
    second = story.publish(ready, document())
    known = shelf.entries(ready.name)
    assert [known[one.entry.id].archived for one in (first, second)] == [False, True]
    assert second.not_archived == ""
    assert "is not what was made" in call(ready, "archive").output


def test_a_silent_store_gives_way_to_what_lies_here(ready: Estate, store: Store, tmp_path: Path):
    name = story.publish(ready, document()).entry.id
    store.down = True
    _entry, paths, why = story.bring_back(ready, name, tmp_path / "back")
    assert "does not give it" in why
    assert len(paths) == 3


@pytest.mark.parametrize("here_too", [False, True])
def test_what_was_changed_is_never_given(ready: Estate, store: Store, tmp_path: Path, here_too: bool):
    done = story.publish(ready, document())
    for key, data in store.versions.items():
        if key.endswith(".pdf"):
            data[0] = data[0][:-1] + b"x"
    if not here_too:
        assert "not what was made" in story.bring_back(ready, "last", tmp_path / "back")[2]
        return
    done.paths[1].write_bytes(b"x")
    with pytest.raises(Error) as error:
        story.bring_back(ready, "last", tmp_path / "back")
    assert error.value.code == "report-changed"
    assert not list((tmp_path / "back").iterdir())


def test_a_lock_that_is_not_there_is_said(ready: Estate, store: Store):
    store.locks = False
    story.publish(ready, document())
    assert "no lock" in call(ready, "list").output


def test_a_torn_index_keeps_the_rest(ready: Estate, store: Store):
    name = story.publish(ready, document()).entry.id
    with (shelf.folder(ready.name) / shelf.INDEX).open("ab") as stream:
        stream.write(b'[1]\n{"event": "made", "entry": {"id": "../x", "files": []}}\n{"event": "archi')
    assert list(shelf.entries(ready.name)) == [name]


def test_without_a_vault_it_is_made_all_the_same(ready: Estate, tmp_path: Path):
    done = story.publish(replace(ready, secrets=None), document())
    assert done.not_archived
    assert done.paths[1].read_bytes().startswith(b"%PDF")


def test_a_folder_that_takes_nothing_is_said_before_anything_is_made(ready: Estate, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Error) as error:
        story.publish(ready, document(), to=tmp_path / "file")
    assert error.value.code == "cannot-write"
    assert shelf.entries(ready.name) == {}


def test_no_report_bears_an_unknown_name(ready: Estate, store: Store):
    with pytest.raises(Error) as error:
        story.bring_back(ready, "nothing", Path())
    assert error.value.code == "unknown-report"
