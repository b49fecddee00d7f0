"""A command without a host's name means the only one there is; it chooses none."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest

from rmc_dr.cli import main
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate


def with_appservers(estate: Estate, *names: str) -> Estate:
    others = {name: host for name, host in estate.hosts.items() if "appserver" not in host.groups}
    return replace(
        estate, hosts={**others, **{name: replace(estate.host("app1"), name=name) for name in names}}
    )


def test_the_only_one_is_meant(estate: Estate):
    assert estate.only("appserver").name == "app1"


@pytest.mark.parametrize(("names", "hint"), [((), "hosts.yml"), (("app1", "app2"), "app1, app2")])
def test_none_and_several_are_bad_input(estate: Estate, names: tuple[str, ...], hint: str):
    with pytest.raises(BadInput) as refused:
        with_appservers(estate, *names).only("appserver")
    assert hint in refused.value.hint


@pytest.mark.parametrize("words", [["rebuild", "appserver", "--yes"], ["fence", "status"]])
@pytest.mark.parametrize("names", [(), ("app1", "app2")])
def test_commands_choose_none(estate: Estate, monkeypatch, capsys, words: list[str], names: tuple[str, ...]):
    monkeypatch.setattr("rmc_dr.estate.load", lambda _inventory: with_appservers(estate, *names))
    monkeypatch.setattr(sys, "argv", ["rmc-dr", *words, "--json"])
    monkeypatch.setenv("RMC_DR_INVENTORY", str(estate.inventory))
    with pytest.raises(SystemExit) as end:
        main.main([*words, "--json"])
    assert end.value.code == 2
    assert json.loads(capsys.readouterr().out)["error"] == "which-host"
