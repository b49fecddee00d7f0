"""Evidence in the incident of its time: attached once, whatever ends its collecting."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from test_evidence import FakeLine, Store, hosts, leftover, ready, store  # noqa: F401 fixtures

from rmc_dr import preserve as story
from rmc_dr import response
from rmc_dr.errors import Error, Interrupted
from rmc_dr.estate import Estate
from rmc_dr.evidence import custody, folder, manifest
from rmc_dr.incident import attach, record
from rmc_dr.publish import facts


def test_it_attaches_itself_to_the_open_incident(ready: Estate, hosts: Any, state: Path):  # noqa: F811
    incident = response.start(ready, "x", ("users-out",)).incident
    done = story.preserve(ready, story.Wanted(reason="a test"))
    [attached] = record.read(incident).attached("evidence")
    sealed = hashlib.sha256((done.path / folder.MANIFEST).read_bytes()).hexdigest()
    assert (attached.fields["id"], attached.fields["manifest_sha256"]) == (done.id, sealed)
    [told] = facts.gather(ready, "last").evidence
    assert (told.id, told.copied) == (done.id, True)


def test_it_is_told_to_be_copied_once_a_later_one_has_copied_it(ready: Estate, hosts: Any, store: Store):  # noqa: F811
    response.start(ready, "x", ("users-out",))
    store.down = True
    first = story.preserve(ready, story.Wanted())
    [told] = facts.gather(ready, "last").evidence
    assert (told.id, told.copied) == (first.id, False)
    store.down = False
    story.preserve(ready, story.Wanted())
    assert {(one.id, one.copied) for one in facts.gather(ready, "last").evidence} >= {(first.id, True)}


def attached_to(incident: str) -> list[str]:
    return [str(event.get("id")) for event in record.read(incident).attached("evidence")]


def test_what_an_operator_stops_attaches_itself_too(
    ready: Estate,  # noqa: F811
    hosts: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
):
    incident = response.start(ready, "x", ("users-out",)).incident
    monkeypatch.setattr(story, "canceled_by_signal", lambda: nullcontext(lambda: True))
    with pytest.raises(Interrupted):
        story.preserve(ready, story.Wanted())
    assert attached_to(incident) == [folder.find(ready.name, "last").id]


def test_that_nothing_could_be_had_attaches_itself_too(ready: Estate, hosts: Any):  # noqa: F811
    incident = response.start(ready, "x", ("users-out",)).incident
    FakeLine.dead = {"198.51.100."}
    with pytest.raises(Error):
        story.preserve(ready, story.Wanted())
    assert attached_to(incident) == [folder.find(ready.name, "last").id]


def test_what_a_kill_left_attaches_itself_to_the_incident_of_its_time(ready: Estate, hosts: Any):  # noqa: F811
    """Also where that one is closed, and another open, when the next collection finishes it."""
    first = response.start(ready, "x", ("users-out",)).incident
    left = leftover(ready)
    time.sleep(1.1)  # its name tells whole seconds
    response.close(ready, "found")
    second = response.start(ready, "y", ("users-out",)).incident
    done = story.preserve(ready, story.Wanted())
    assert done.finished == (left.id,)
    assert (attached_to(first), attached_to(second)) == ([left.id], [done.id])


@pytest.mark.parametrize("after", ["write", "append", "attach_once"])
def test_a_kill_anywhere_between_seal_and_end_attaches_it_once(
    ready: Estate,  # noqa: F811
    hosts: Any,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    after: str,
):
    incident = response.start(ready, "x", ("users-out",)).incident
    module = {"write": manifest, "append": custody, "attach_once": attach}[after]
    whole = getattr(module, after)

    def killed(*words: Any, **named: Any) -> None:
        whole(*words, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, after, killed)
        with pytest.raises(KeyboardInterrupt):
            story.preserve(ready, story.Wanted())
    left = folder.find(ready.name, "last")
    assert attached_to(incident) == ([left.id] if after == "attach_once" else [])
    assert left.id in story.preserve(ready, story.Wanted()).finished
    assert attached_to(incident).count(left.id) == 1
    [event] = [one for one in record.read(incident).attached("evidence") if one.get("id") == left.id]
    sealed = hashlib.sha256((left.path / folder.MANIFEST).read_bytes()).hexdigest()
    assert event.get("manifest_sha256") == sealed


def test_two_that_finish_the_same_one_attach_it_once(ready: Estate, hosts: Any):  # noqa: F811
    incident = response.start(ready, "x", ("users-out",)).incident
    left = leftover(ready)
    with ThreadPoolExecutor(4) as pool:
        finished = list(pool.map(lambda _: story.finish_leftovers(ready, "", ""), range(4)))
    assert [left.id] == [name for names in finished for name in names]
    assert attached_to(incident) == [left.id]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: attach.attach_once(ready.name, left.made, "evidence", "again"), range(4)))
    assert attached_to(incident) == [left.id, "again"]
