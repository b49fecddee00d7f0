"""Whether an estate's secrets are whole: its private folder, its vault and the certificates in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rmc_dr import secrets, tls
from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.estate_files import ENCRYPTED
from rmc_dr.estate_problem import ESTATE, Problem, own_hosts
from rmc_dr.i18n import _

PRIVATE_FILES = ("id_ed25519", "known_hosts", "ca.pem", "control.pem", "control.key", "allowed_signers")


def addresses(estate: Estate) -> tuple[str, ...]:
    """Where news goes: Apprise's URLs out of the vault, each of them a secret; none where it has none."""
    try:
        return tuple(estate.secrets.get("notify", "addresses").split()) if estate.secrets else ()
    except BadInput:
        return ()


def known(estate: Estate) -> frozenset[str]:
    """Every secret of the estate that can be told: none of them belongs in a record or a report."""
    secret = estate.secrets.values() if estate.secrets else frozenset()
    return secret | set(addresses(estate))


def folder(estate: Estate) -> Iterator[Problem]:
    private = estate.private_dir
    missing = [name for name in PRIVATE_FILES if not (private / name).is_file()]
    if missing:
        yield _incomplete(str(private), ", ".join(missing))
    elif private.stat().st_mode & 0o077:
        yield Problem(
            ESTATE,
            "estate.private_dir",
            _("Others can look into {path}.").format(path=private),
            _("Close it: chmod 700 {path}").format(path=private),
        )


def vault(estate: Estate) -> Iterator[Problem]:
    path = secrets.vault_file(estate)
    if not path.is_file() or not path.read_bytes().strip():
        yield _incomplete(str(path), "vault")
        return
    with path.open("rb") as stream:
        if stream.read(len(ENCRYPTED)) != ENCRYPTED:
            yield Problem(
                str(path),
                "vault",
                _("The secrets stand there for everybody to read."),
                _("Encrypt the file: ansible-vault encrypt {path}").format(path=path),
            )
    opened = estate.opened()
    for keys in _needed_secrets(estate):
        try:
            whole = bool(opened.get(*keys).strip())
        except BadInput:
            whole = False
        if not whole:
            yield _incomplete(str(path), ".".join(("vault", *keys)))
    yield from _certificates(estate, str(path), opened.get)


def _incomplete(file: str, key: str) -> Problem:
    return Problem(
        file,
        key,
        _("It is missing."),
        _("Run `rmc-dr estate init`: it makes what is missing and changes nothing else."),
    )


def _needed_secrets(estate: Estate) -> Iterator[tuple[str, ...]]:
    yield from (("postgres", name) for name in secrets.POSTGRES)
    yield ("patroni", "rest_password")
    yield from (("s3", name, part) for name in secrets.S3_KEYS for part in ("access_key", "secret_key"))
    yield from (("backup", name) for name in secrets.BACKUP)
    yield ("tls", "ca_certificate")
    for app in estate.config.applications.apps:
        yield ("apps", app.name, "database_password")
        yield from (("apps", app.name, "journey", key) for key in ("user", "password"))
    for name in (*(host.name for host in own_hosts(estate)), *secrets.SPARE_IDENTITIES):
        yield from (("ssh_host_keys", name, key) for key in ("private", "public"))


def _certificates(estate: Estate, file: str, get: Callable[..., str]) -> Iterator[Problem]:
    for host in own_hosts(estate):
        try:
            authority = {"ca_certificate": get("tls", "ca_certificate")}
            certificate, key = (get("tls", "hosts", host.name, part) for part in ("certificate", "key"))
        except BadInput:
            yield _incomplete(file, f"vault.tls.hosts.{host.name}")
            continue
        if not tls.usable(certificate, key, authority, host.name, host.address):
            yield Problem(
                file,
                f"vault.tls.hosts.{host.name}",
                _("The certificate does not fit the host's name and address, or ends soon."),
                _("Run `rmc-dr estate init` to renew it, then converge the host."),
            )
