"""A fence by credentials renews the vault in mid-run: from then on the new passwords are masked as well."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rmc_dr import runner, secrets
from rmc_dr.estate import ESTATE_FILE, VAULT_FILE, Estate, load, with_new_secrets
from rmc_dr.model import Plan, Request
from rmc_dr.record import Journal

LAB = "/var/lib/rmc-dr/lab/private"
TELL = """
- hosts: app1
  connection: local
  gather_facts: false
  tasks:
    - name: Tell a secret
      ansible.builtin.debug: {msg: "now it is {{ vault.apps.management.database_password }}"}
"""


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estate: Estate, state: Path) -> Estate:
    """The lab's estate with a vault of its own, read as a command reads it."""
    for name in ("RMC_DR_VAULT_PASSWORD", "RMC_DR_VAULT_PASSWORD_FILE"):
        monkeypatch.delenv(name, raising=False)
    inventory = tmp_path / "inventory"
    shutil.copytree(estate.inventory, inventory, ignore=shutil.ignore_patterns("vault.yml", "host_vars"))
    text = (inventory / ESTATE_FILE).read_text()
    (inventory / ESTATE_FILE).write_text(text.replace(LAB, str(estate.private_dir)))
    secrets.make(estate)
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD_FILE", str(estate.private_dir / "vault-password"))
    (inventory / VAULT_FILE).symlink_to(secrets.vault_file(estate))
    return load(inventory)


def password(estate: Estate) -> str:
    return estate.opened().get("apps", "management", "database_password")


def test_the_vault_is_read_again_only_where_it_was_written(sealed: Estate):
    assert with_new_secrets(sealed) is sealed
    secrets.renew_application_passwords(sealed)
    renewed = with_new_secrets(sealed)
    assert password(renewed) != password(sealed)
    assert with_new_secrets(renewed) is renewed


def test_the_journal_masks_what_it_learns(sealed: Estate):
    secrets.renew_application_passwords(sealed)
    plan, request = Plan("rebuild-appserver", "app1", ()), Request("rebuild-appserver", "app1")
    old, new = password(sealed), password(with_new_secrets(sealed))
    known = sealed.opened().values()
    with Journal.create(plan, request, estate="lab", operator="me", secrets=known) as journal:
        journal.learn(with_new_secrets(sealed).opened().values())
        journal.append("note", text=f"{old} became {new}")
        written = (journal.path / "journal.jsonl").read_text()
    assert old not in written
    assert new not in written
    assert "[secret] became [secret]" in written


def test_the_log_of_the_playbook_that_renewed_them_masks_them(sealed: Estate, tmp_path: Path):
    secrets.renew_application_passwords(sealed)
    playbook = tmp_path / "tell.yml"
    playbook.write_text(TELL)
    log = tmp_path / "log"
    runner.run_playbook(
        sealed, str(playbook), variables={}, on_event=lambda *_event, **_fields: None, log=log
    )
    assert "now it is [secret]" in log.read_text()
