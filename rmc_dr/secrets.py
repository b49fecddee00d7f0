"""Makes the secrets of an estate: passwords, SSH keys, its own CA. Reading them is estate.py's part.

The vault is written first and everything in the private folder that can be derived from it (known_hosts,
the CA's certificate) afterwards, so that a run cut short is completed by the next one.
"""

from __future__ import annotations

import fcntl
import os
import secrets as random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from ansible.parsing.vault import (  # type: ignore[import-untyped]
    AnsibleVaultError,
    VaultLib,
    VaultSecret,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)

from rmc_dr import tls
from rmc_dr.errors import BadInput, Refused
from rmc_dr.estate import Estate
from rmc_dr.estate_files import empty_vault
from rmc_dr.files import write_atomically
from rmc_dr.i18n import _

SIGNER = "rmc-dr-kit"
EVIDENCE_SIGNER = "rmc-dr-evidence"
SPARE_IDENTITIES = ("rescue", "builder")
POSTGRES = ("replication_password", "rewind_password", "monitor_password")
S3_KEYS = ("owner", "writer", "verifier", "keeper")
BACKUP = ("database_passphrase", "files_passphrase", "evidence_passphrase")
Vault = dict[str, Any]


def make(estate: Estate) -> None:
    """Make what is missing of the estate's secrets. What exists stays; old certificates are renewed.

    Raises Refused where the vault is gone but hosts still use it, BadInput where it cannot be opened.
    """
    folder = estate.private_dir
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    with _alone(folder):
        password = _password(estate)
        before = _read_vault(estate, password)
        vault = _completed(before, estate)
        if vault != before:
            _write_vault(vault_file(estate), vault, password)
        _write_derived(folder, vault, estate)
        _make_key(folder / "id_ed25519", f"rmc-dr@{estate.name}")
        _make_signer(folder, SIGNER, "kit_signing_key", "allowed_signers")
        _make_signer(folder, EVIDENCE_SIGNER, "evidence_signing_key", "evidence_signers")
        _make_control_certificate(folder, vault["tls"])


def renew_application_passwords(estate: Estate) -> None:
    """Put new database passwords of every application into the vault; the playbook makes the pair follow.

    Raises as `make`. The old ones are forgotten: whoever still has them is locked out once the pair follows.
    """
    with _alone(estate.private_dir):
        password = _password(estate)
        vault = _read_vault(estate, password)
        fresh = {
            app.name: {**vault["apps"][app.name], **_passwords({}, "database_password")}
            for app in estate.config.applications.apps
        }
        _write_vault(vault_file(estate), {**vault, "apps": {**vault["apps"], **fresh}}, password)


def vault_file(estate: Estate) -> Path:
    """Where the vault stands: beside estate.yml; the lab's lies in its state folder, `lab up` links it."""
    if estate.config.power.driver == "lab":
        return estate.private_dir / "vault.yml"
    return estate.inventory / "group_vars/all/vault.yml"


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _password(estate: Estate) -> VaultSecret:
    """The vault password by the rules of playbooks/vault-password.sh; made only where no vault exists yet."""
    kept = estate.private_dir / "vault-password"
    named = os.environ.get("RMC_DR_VAULT_PASSWORD_FILE")
    text = os.environ.get("RMC_DR_VAULT_PASSWORD", "")
    if not text and named:
        if not Path(named).is_file():
            raise BadInput(
                "vault-closed",
                _("RMC_DR_VAULT_PASSWORD_FILE names {path}, which is not a file.").format(path=named),
                _("Correct the variable, or unset it."),
            )
        text = Path(named).read_text()
    if not text and kept.is_file():
        text = kept.read_text()
    if not text.strip():
        if vault_file(estate).exists():
            raise (
                _closed(estate)
                if vault_file(estate).read_bytes().strip()
                else empty_vault(vault_file(estate))
            )
        text = random.token_urlsafe(32)
        write_atomically(kept, f"{text}\n")
    return VaultSecret(text.strip("\r\n").encode())


def _read_vault(estate: Estate, password: VaultSecret) -> Vault:
    path = vault_file(estate)
    if not path.exists():
        if (estate.private_dir / "known_hosts").exists():
            raise Refused(
                "vault-missing",
                _("{path} is gone, but the hosts of {estate} still use its secrets.").format(
                    path=path, estate=estate.name
                ),
                _(
                    "Restore the file from a copy. To begin anew with new secrets, move {folder} away first."
                ).format(folder=estate.private_dir),
            )
        return {}
    try:
        plain = VaultLib([("default", password)]).decrypt(path.read_bytes())
    except AnsibleVaultError:
        raise _closed(estate) from None
    loaded = yaml.safe_load(plain)
    if not isinstance(loaded, dict) or not isinstance(loaded.get("vault"), dict):
        raise BadInput(
            "vault-invalid",
            _("{path} holds no dictionary `vault`.").format(path=path),
            _("Compare it with inventories/example/vault.example.yml."),
        )
    vault: Vault = loaded["vault"]
    return vault


def _closed(estate: Estate) -> BadInput:
    if not vault_file(estate).read_bytes().strip():
        return empty_vault(vault_file(estate))
    return BadInput(
        "vault-closed",
        _("The vault of {path} cannot be opened.").format(path=vault_file(estate)),
        _("Set RMC_DR_VAULT_PASSWORD or RMC_DR_VAULT_PASSWORD_FILE to the right password."),
    )


def _write_vault(path: Path, vault: Vault, password: VaultSecret) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = yaml.safe_dump({"vault": vault}, sort_keys=True)
    write_atomically(path, VaultLib([("default", password)]).encrypt(plain, password).decode())


def _completed(before: Vault, estate: Estate) -> Vault:
    hosts = {host.name: host.address for host in estate.hosts.values() if "builder" not in host.groups}
    apps = before.get("apps", {})
    return {
        **before,
        "postgres": _passwords(before.get("postgres", {}), *POSTGRES),
        "patroni": _passwords(before.get("patroni", {}), "rest_password"),
        "s3": _s3_keys(before.get("s3", {})),
        "backup": _passwords(before.get("backup", {}), *BACKUP),
        "notify": {"addresses": "", **before.get("notify", {})},
        "apps": {
            **apps,
            **{app.name: _application(apps.get(app.name, {})) for app in estate.config.applications.apps},
        },
        "ssh_host_keys": _host_keys(before.get("ssh_host_keys", {}), [*hosts, *SPARE_IDENTITIES]),
        "tls": tls.completed(before.get("tls", {}), estate.config.centre, hosts),
    }


def _passwords(before: Vault, *names: str) -> Vault:
    return {**before, **{name: before.get(name) or random.token_urlsafe(24) for name in names}}


def _s3_keys(before: Vault) -> Vault:
    """S3 access keys are names: letters and digits, 20 of them, as every store takes them."""
    made = {name: before.get(name, {}) for name in S3_KEYS}
    return {
        name: {
            "access_key": key.get("access_key") or random.token_hex(10).upper(),
            "secret_key": key.get("secret_key") or random.token_urlsafe(30),
        }
        for name, key in made.items()
    }


def _application(before: Vault) -> Vault:
    journey = before.get("journey", {})
    return {
        **_passwords(before, "database_password"),
        "journey": {**_passwords(journey, "password"), "user": journey.get("user") or "journey"},
    }


def _host_keys(before: Vault, names: list[str]) -> Vault:
    kept = {name: pair for name, pair in before.items() if pair.get("private") and pair.get("public")}
    return {**before, **{name: kept[name] if name in kept else _host_key(name) for name in names}}


def _host_key(name: str) -> dict[str, str]:
    private = _new_ssh_key()
    return {"private": private, "public": _public_line(private, name)}


def _new_ssh_key() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _public_line(private: str, comment: str) -> str:
    key = load_ssh_private_key(private.encode(), None).public_key()
    return f"{key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()} {comment}"


def _make_key(path: Path, comment: str) -> None:
    if not path.is_file():
        write_atomically(path, _new_ssh_key())
    write_atomically(
        path.with_name(f"{path.name}.pub"), f"{_public_line(path.read_text(), comment)}\n", 0o644
    )


def _make_signer(folder: Path, name: str, key: str, signers: str) -> None:
    """A key that signs, and the file that names it as the one that may."""
    _make_key(folder / key, name)
    public = (folder / f"{key}.pub").read_text().strip()
    write_atomically(folder / signers, f"{name} {public}\n", 0o644)


def _write_derived(folder: Path, vault: Vault, estate: Estate) -> None:
    """Host keys are pinned by name and address; every builder of the kit shows the same key.

    The address matters to tasks that Ansible delegates: a HostKeyAlias would name the wrong host there.
    """
    builders = [host for host in estate.hosts.values() if "builder" in host.groups]
    known = {name: f"{name},{host.address}" for name, host in estate.hosts.items()}
    known["builder"] = ",".join(
        ["builder", *(word for host in builders for word in (host.name, host.address))]
    )
    pinned = "".join(
        f"{known.get(name, name)} {' '.join(pair['public'].split()[:2])}\n"
        for name, pair in sorted(vault["ssh_host_keys"].items())
    )
    write_atomically(folder / "ca.pem", vault["tls"]["ca_certificate"], 0o644)
    write_atomically(folder / "known_hosts", pinned, 0o644)


def _make_control_certificate(folder: Path, authority: Vault) -> None:
    certificate, key = folder / "control.pem", folder / "control.key"
    if (
        certificate.is_file()
        and key.is_file()
        and tls.usable(certificate.read_text(), key.read_text(), authority)
    ):
        return
    issued = tls.issue(authority, "control")
    write_atomically(key, issued["key"])
    write_atomically(certificate, issued["certificate"], 0o644)
