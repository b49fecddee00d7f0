"""Files that somebody wrote wrongly: the estate, a manifest, an incident's record."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_incident import CRITICAL
from test_malformed import everything

from rmc_dr import content, response
from rmc_dr import estate as estate_files
from rmc_dr.cli import main
from rmc_dr.estate import Estate
from rmc_dr.incident import record
from rmc_dr.journal import NAME
from rmc_dr.kit.manifest import Manifest

LAB = content.root() / "inventories" / "lab"
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ODD = st.one_of(
    st.sampled_from([None, True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", " ", "\x1b[2J", "\0"]),
    st.sampled_from(
        ["{{ lookup('pipe', 'id') }}", "../../etc", "yes", "9999-99-99", "a" * 5000, "中心", [], {}]
    ),
    st.text(max_size=8),
    st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where something stands in a document, from the outside to the inside."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def spoiled(draw: st.DrawFn, whole: Any) -> Any:
    """The document with one thing in it replaced, left out, or under another name."""
    document = copy.deepcopy(whole)
    *outer, last = draw(st.sampled_from(list(places(document))))
    inside = document
    for key in outer:
        inside = inside[key]
    how = draw(st.sampled_from(["replace", "replace", "leave out", "rename"]))
    if how == "replace" or isinstance(inside, list):
        inside[last] = draw(ODD)
    else:
        kept = inside.pop(last)
        if how == "rename":
            inside[draw(st.text(min_size=1, max_size=6))] = kept
    return document


@st.composite
def inventories(draw: st.DrawFn) -> tuple[Any, Any]:
    """The lab's estate and hosts, one of both spoiled."""
    settings_, hosts = (
        yaml.safe_load((LAB / name).read_text()) for name in ("group_vars/all/estate.yml", "hosts.yml")
    )
    settings_["estate"]["s3"]["bandwidth_mbit"] = 1000  # which the lab leaves out
    if draw(st.booleans()):
        return spoiled(draw, settings_), hosts
    return settings_, spoiled(draw, hosts)


def listed(settings_: Any, hosts: Any) -> dict[str, Any]:
    """What `ansible-inventory --list` says of such files, without the second that it takes."""
    groups = hosts["all"]["children"]
    common = settings_ if isinstance(settings_, dict) else {}
    members = {group: dict(values["hosts"]) for group, values in groups.items()}
    hostvars = {name: {**common, **(own or {})} for group in members.values() for name, own in group.items()}
    return {"_meta": {"hostvars": hostvars}, **{name: {"hosts": list(own)} for name, own in members.items()}}


@MANY
@given(both=inventories())
def test_an_estate_that_is_wrong_is_refused_in_a_sentence(
    both: tuple[Any, Any], state: Path, monkeypatch: pytest.MonkeyPatch
):
    try:
        listing = listed(*both)
    except (AttributeError, KeyError, TypeError, ValueError):
        return  # Ansible says what is wrong with it: test_estate_check.py
    monkeypatch.setattr(estate_files, "_list_inventory", lambda _inventory: listing)
    before = everything(state)
    for words in (["estate", "check"], ["runs"], ["incident", "list"]):
        said = CliRunner().invoke(main, ["-i", str(LAB), *words])
        assert "itself failed" not in said.output, said.output
        assert said.exit_code in (0, 1, 2), said.output
        assert said.exit_code != 2 or "Hint:" in said.output, said.output
        assert "\x1b" not in said.output
    assert everything(state) == before


MANIFEST = {
    "format": 1,
    "tool": "0.1.0",
    "built": "2026-11-25T00:00:00Z",
    "expires": "2027-05-24T00:00:00Z",
    "files": {"images/appserver.tar.zst": {"sha256": "0" * 64, "size": 7}},
    "versions": {
        "debian": "12", "liberty": "26.0.0.1", "jdbc": "42.7.4", "applications": {"management": ["1.0"]},
        "images": {"appserver": {"openjdk-17-jre-headless": "17.0.1"}},
    },
}  # fmt: skip


@st.composite
def manifests(draw: st.DrawFn) -> Any:
    return spoiled(draw, MANIFEST)


@MANY
@given(document=manifests())
def test_a_manifest_is_read_or_refused(document: Any):
    with contextlib.suppress(ValueError):
        assert Manifest(Path("/kit"), json.dumps(document).encode()).files


@st.composite
def spoiled_lines(draw: st.DrawFn, lines: list[Any]) -> bytes:
    at = draw(st.integers(0, len(lines) - 1))
    odd = [*lines[:at], spoiled(draw, lines[at]), *lines[at + 1 :]]
    return b"".join(json.dumps(line).encode() + b"\n" for line in odd)


@settings(MANY, max_examples=100)
@given(data=st.data())
def test_an_incidents_record_is_read_or_named(
    data: st.DataObject, ours: Estate, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("rmc_dr.estate.load", lambda _inventory: ours)
    folder = content.STATE / "incidents"
    found = sorted(folder.glob("*/" + NAME)) if folder.exists() else []
    if not found:
        response.start(ours, "nobody can log in", CRITICAL)
        response.note(ours, "on it")
        found = sorted(folder.glob("*/" + NAME))
    (journal,) = found
    kept = journal.with_name("kept")
    if not kept.exists():
        kept.write_bytes(journal.read_bytes())
    lines = [json.loads(line) for line in kept.read_bytes().splitlines()]
    journal.write_bytes(data.draw(spoiled_lines(lines)))
    for words in (["incident", "list"], ["incident", "show"], ["incident", "show", "--json"], ["runs"]):
        said = CliRunner().invoke(main, ["-i", str(LAB), *words])
        assert "itself failed" not in said.output, said.output
        assert said.exit_code in (0, 1, 2), said.output
        assert said.exit_code == 0 or "Hint:" in said.output, said.output
    assert record.folder_of(journal.parent.name) == journal.parent
