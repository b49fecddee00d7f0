"""Making secrets: whole, once, private, and never anew behind the back of hosts that use the old ones."""

from __future__ import annotations

import re
import stat
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from rmc_dr import content, secrets, tls
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate
from rmc_dr.files import write_atomically

HOSTS = ("app1", "db1", "db2", "store1", "verify1")


@pytest.fixture(autouse=True)
def _no_password_in_the_environment(monkeypatch):
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD", raising=False)
    monkeypatch.delenv("RMC_DR_VAULT_PASSWORD_FILE", raising=False)


@pytest.fixture
def made(estate: Estate) -> Estate:
    secrets.make(estate)
    return estate


def vault_of(estate: Estate, password: str | None = None) -> dict:
    password = password or (estate.private_dir / "vault-password").read_text().strip()
    library = VaultLib([("default", VaultSecret(password.encode()))])
    return yaml.safe_load(library.decrypt(secrets.vault_file(estate).read_bytes()))["vault"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_second_time_changes_nothing(made):
    before = contents(made.private_dir)
    secrets.make(made)
    assert contents(made.private_dir) == before


def test_the_vault_holds_what_roles_read(made):
    vault = vault_of(made)
    assert set(vault) == {"postgres", "patroni", "s3", "backup", "notify", "apps", "ssh_host_keys", "tls"}
    assert set(vault["postgres"]) == set(secrets.POSTGRES)
    assert set(vault["s3"]) == set(secrets.S3_KEYS)
    assert set(vault["backup"]) == set(secrets.BACKUP)
    assert set(vault["apps"]) == {"management", "verification"}
    assert set(vault["apps"]["management"]) == {"database_password", "journey"}
    assert set(vault["ssh_host_keys"]) == {*HOSTS, "rescue", "builder"}
    assert set(vault["tls"]) == {"ca_certificate", "ca_key", "hosts"}
    assert set(vault["tls"]["hosts"]) == set(HOSTS)


def test_a_password_that_no_role_reads_is_not_made(made):
    roles = [path.read_text() for path in (content.root() / "roles").rglob("*.yml")]
    vault = vault_of(made)
    names = [f"vault.{part}.{name}" for part in ("postgres", "patroni") for name in vault[part]]
    assert [name for name in names if not any(name in text for text in roles)] == []


def test_no_two_secrets_are_the_same(made):
    vault = vault_of(made)
    passwords = [*vault["postgres"].values(), *(app["database_password"] for app in vault["apps"].values())]
    passwords += [key["secret_key"] for key in vault["s3"].values()] + [*vault["backup"].values()]
    assert len(set(passwords)) == len(passwords)
    assert min(map(len, passwords)) >= 32


def test_only_the_owner_reads_secrets(made):
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.private_dir.iterdir()}
    assert stat.S_IMODE(made.private_dir.stat().st_mode) == 0o700
    for name in ("id_ed25519", "kit_signing_key", "control.key", "vault.yml", "vault-password"):
        assert modes[name] == 0o600, name


def test_host_keys_are_pinned_by_name_and_address(made):
    vault = vault_of(made)
    pinned = dict(line.split(" ", 1) for line in (made.private_dir / "known_hosts").read_text().splitlines())
    for name in HOSTS:
        key = pinned[f"{name},{made.host(name).address}"]
        assert vault["ssh_host_keys"][name]["public"].startswith(key)
    assert "rescue" in pinned


def test_ssh_reads_every_key(made, tmp_path):
    for name, pair in vault_of(made)["ssh_host_keys"].items():
        path = tmp_path / name
        write_atomically(path, pair["private"])
        done = subprocess.run(["ssh-keygen", "-y", "-f", path], capture_output=True, text=True, check=True)
        assert pair["public"].startswith(done.stdout.strip())


def test_the_signer_of_the_kit_is_pinned(made):
    public = (made.private_dir / "kit_signing_key.pub").read_text().split()[1]
    assert (made.private_dir / "allowed_signers").read_text().split()[::2] == ["rmc-dr-kit", public]


def test_the_signer_of_evidence_is_another_and_pinned(made):
    public = (made.private_dir / "evidence_signing_key.pub").read_text().split()[1]
    assert (made.private_dir / "evidence_signers").read_text().split()[::2] == ["rmc-dr-evidence", public]
    assert public not in (made.private_dir / "allowed_signers").read_text()
    assert (made.private_dir / "evidence_signing_key").stat().st_mode & 0o777 == 0o600


def test_certificates_serve_hosts_by_name_and_address(made):
    vault = vault_of(made)
    authority = x509.load_pem_x509_certificate(vault["tls"]["ca_certificate"].encode())
    found = x509.load_pem_x509_certificate(vault["tls"]["hosts"]["db1"]["certificate"].encode())
    found.verify_directly_issued_by(authority)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["db1", "localhost"]
    assert ip_address(made.host("db1").address) in names.get_values_for_type(x509.IPAddress)
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert not found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_the_control_machine_is_a_client_only(made):
    found = x509.load_pem_x509_certificate((made.private_dir / "control.pem").read_bytes())
    usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_new_host_gets_its_own_and_the_others_keep_theirs(made):
    before = vault_of(made)
    host = replace(made.host("app1"), name="app2", address="198.51.100.12")
    secrets.make(replace(made, hosts={**made.hosts, "app2": host}))
    after = vault_of(made)
    assert set(after["ssh_host_keys"]) - set(before["ssh_host_keys"]) == {"app2"}
    assert set(after["tls"]["hosts"]) - set(before["tls"]["hosts"]) == {"app2"}
    assert after["tls"]["hosts"]["app1"] == before["tls"]["hosts"]["app1"]
    assert after["postgres"] == before["postgres"]


def test_a_moved_host_gets_a_certificate_for_its_new_address(made):
    before = vault_of(made)
    moved = replace(made.host("app1"), address="198.51.100.99")
    secrets.make(replace(made, hosts={**made.hosts, "app1": moved}))
    after = vault_of(made)
    assert after["tls"]["hosts"]["app1"] != before["tls"]["hosts"]["app1"]
    assert after["tls"]["hosts"]["db1"] == before["tls"]["hosts"]["db1"]
    assert after["ssh_host_keys"] == before["ssh_host_keys"]


def test_a_certificate_near_its_end_is_renewed(made, monkeypatch):
    before = vault_of(made)

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + tls.CERTIFICATE_VALID - tls.RENEW_BEFORE + timedelta(days=1)

    monkeypatch.setattr(tls, "datetime", Later)
    secrets.make(made)
    after = vault_of(made)
    assert after["tls"]["hosts"]["app1"] != before["tls"]["hosts"]["app1"]
    assert after["tls"]["ca_certificate"] == before["tls"]["ca_certificate"]


@pytest.mark.parametrize("lost", ["known_hosts", "ca.pem", "control.pem", "control.key", "allowed_signers"])
def test_what_can_be_derived_is_made_again(made, lost):
    before = contents(made.private_dir)
    (made.private_dir / lost).unlink()
    secrets.make(made)
    after = contents(made.private_dir)
    assert set(after) == set(before)
    assert after["vault.yml"] == before["vault.yml"]


def test_a_lost_vault_is_not_replaced_behind_the_hosts_back(made):
    secrets.vault_file(made).unlink()
    with pytest.raises(Refused) as refusal:
        secrets.make(made)
    assert refusal.value.code == "vault-missing"
    assert not secrets.vault_file(made).exists()


def test_a_wrong_password_is_said_and_nothing_is_written(made, monkeypatch):
    before = contents(made.private_dir)
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD", "wrong")
    with pytest.raises(BadInput) as refusal:
        secrets.make(made)
    assert refusal.value.code == "vault-closed"
    assert contents(made.private_dir) == before


def test_a_lost_password_is_not_replaced(made):
    (made.private_dir / "vault-password").unlink()
    with pytest.raises(BadInput) as refusal:
        secrets.make(made)
    assert refusal.value.code == "vault-closed"
    assert not (made.private_dir / "vault-password").exists()


def test_a_password_of_the_environment_is_not_written_down(estate, monkeypatch):
    monkeypatch.setenv("RMC_DR_VAULT_PASSWORD", "from the environment")
    secrets.make(estate)
    assert not (estate.private_dir / "vault-password").exists()
    assert vault_of(estate, "from the environment")


def test_a_run_cut_short_is_completed_by_the_next(estate, monkeypatch):
    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(secrets, "_write_derived", killed)
        with pytest.raises(KeyboardInterrupt):
            secrets.make(estate)
    before = vault_of(estate)
    secrets.make(estate)
    assert vault_of(estate) == before
    assert (estate.private_dir / "known_hosts").is_file()


def test_other_estates_keep_their_vault_beside_the_inventory(estate, tmp_path):
    power = estate.config.power.model_copy(update={"driver": "manual"})
    config = estate.config.model_copy(update={"power": power})
    other = replace(estate, inventory=tmp_path / "inventory", config=config)
    secrets.make(other)
    vault = tmp_path / "inventory/group_vars/all/vault.yml"
    assert vault.read_bytes().startswith(b"$ANSIBLE_VAULT;")
    assert stat.S_IMODE(vault.stat().st_mode) == 0o600


def test_passwords_are_renewed_for_applications_alone(made):
    before = vault_of(made)
    secrets.renew_application_passwords(made)
    after = vault_of(made)
    for app in ("management", "verification"):
        assert after["apps"][app]["database_password"] != before["apps"][app]["database_password"]
        assert after["apps"][app]["journey"] == before["apps"][app]["journey"]
    assert {**after, "apps": None} == {**before, "apps": None}


def test_a_foreign_certificate_is_not_usable(made):
    vault = vault_of(made)
    other = tls.completed({}, "Another centre", {"app1": "198.51.100.11"})
    pair = other["hosts"]["app1"]
    assert tls.usable(pair["certificate"], pair["key"], other, "app1", "198.51.100.11")
    assert not tls.usable(pair["certificate"], pair["key"], vault["tls"], "app1", "198.51.100.11")
    assert not tls.usable(
        pair["certificate"], vault["tls"]["hosts"]["app1"]["key"], other, "app1", "198.51.100.11"
    )


def test_the_ca_outlives_its_certificates(made):
    authority = x509.load_pem_x509_certificate(vault_of(made)["tls"]["ca_certificate"].encode())
    assert authority.not_valid_after_utc > datetime.now(UTC) + tls.CERTIFICATE_VALID
    assert re.search("Rehearsal", authority.subject.rfc4514_string())
