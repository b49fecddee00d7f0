"""Evidence that somebody laid hands on: what was done is named, nothing is believed, nobody stumbles."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import test_evidence as world
from test_evidence import Store

from rmc_dr import preserve as story
from rmc_dr.errors import Error
from rmc_dr.estate import Estate
from rmc_dr.evidence import check, custody, folder, manifest

hosts, ready, store = world.hosts, world.ready, world.store


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("custody.jsonl", lambda text: text + b"[" * 200_000 + b"\n"),
        ("manifest.json", lambda _text: b"[" * 200_000),
        ("manifest.json", lambda text: text.replace(b'"complete": true', b'"complete": "x"')),
        ("manifest.json", lambda text: text.replace(b'"hosts": {', b'"hosts": 5, "x": {')),
    ],
)
def test_whatever_was_done_to_it_is_named_and_breaks_nobody(ready: Estate, hosts: Any, name: str, spoil: Any):
    from rmc_dr.cli.evidence import _held, _row

    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    text = (kept.path / name).read_bytes()
    (kept.path / name).write_bytes(spoil(text))
    assert (kept.path / name).read_bytes() != text
    assert [one for one in check.check(ready, kept) if not one.passed]
    assert _row(ready, kept)["state"] == "copied"
    with suppress(Error):
        _held(kept)
    (kept.path / "collecting.json").write_text("{}")
    sealed = (kept.path / "manifest.json").read_bytes()
    story.preserve(ready, story.Wanted())
    assert name != "manifest.json" or (kept.path / "manifest.json").read_bytes() == sealed


@pytest.mark.parametrize(
    "left", ['{"asked": null}', '{"asked": [5, {"host": 1}], "hosts": 5}', "[" * 200_000]
)
def test_what_a_kill_left_is_sealed_whatever_was_done_to_it(ready: Estate, hosts: Any, left: str):
    from rmc_dr.cli.evidence import _row

    kept = folder.make(ready.name)
    (kept.path / "collecting.json").write_text(left)
    assert _row(ready, kept)["state"] == "unsealed"
    assert kept.id in story.preserve(ready, story.Wanted()).finished


def test_a_line_that_nobody_signed_copies_nothing(ready: Estate, hosts: Any, store: Store):
    store.down = True
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    with (kept.path / "custody.jsonl").open("ab") as stream:
        stream.write(b'{"said":"{\\"did\\":\\"copied\\"}","signature":"x"}\n')
    assert not custody.tells(ready, kept, custody.COPIED)
    store.down = False
    assert kept.id in story.preserve(ready, story.Wanted()).finished
    assert custody.tells(ready, kept, custody.COPIED)
    assert [one.name for one in check.check(ready, kept) if not one.passed] == ["custody 2"]


def test_host_keys_are_read_as_ssh_reads_them(ready: Estate):
    path = ready.private_dir / "known_hosts"
    path.write_text(
        "\n# a remark\nshort\nbad ssh-ed25519 !!!\n@revoked old ssh-ed25519 QUJD\ndb1,x ssh-ed25519 QUJD\n"
    )
    assert manifest.fingerprints(ready) == {"db1": "SHA256:tdQEXD9Gb6kf4sxqvnkjKhpXzfEE96JucW4KHieJ33g"}


@pytest.mark.parametrize("torn", [b"", b"-----BEGIN SSH SIGNATURE-----\nU1NIU0lH"])
def test_a_seal_that_a_kill_tore_is_made_anew(ready: Estate, hosts: Any, torn: bytes):
    kept = folder.find(ready.name, story.preserve(ready, story.Wanted()).id)
    manifest.begin(ready, kept, {}, [])
    (kept.path / folder.SIGNATURE).write_bytes(torn)
    assert kept.id in story.preserve(ready, story.Wanted()).finished
    verdicts = {one.name: one.passed for one in check.check(ready, kept, store=False)}
    assert verdicts[folder.MANIFEST]
