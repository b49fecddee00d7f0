"""Faults put into the lab's running hosts for real, each undone when its block ends."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from conftest import Lab
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from pair import DATA, KILL_PATRONI, RUN, Pair, mend

from rmc_dr.lab import machine

STORE = "store1"
RADOSGW = "ceph-radosgw@rgw.a.service"
GATEWAY_PEM = "/etc/ceph/gateway.pem"
TLS = "/etc/rmc-dr/tls"
PGBACKREST = "/etc/pgbackrest/pgbackrest.conf"
AS_POSTGRES = "cd / && runuser -u postgres --"
TOO_LATE, ENDS_SOON = timedelta(hours=-1), timedelta(days=10)
SLOW = ("rate", "2mbit", "burst", "32kb", "latency", "400ms")  # what leaves the store: a quarter of a MB/s
FREE_PERCENT = 7  # Ceph's monitor ends itself at 5
CLOCK = "/usr/local/lib/clock.so"
OFF_SECONDS = 7200


def give(lab: Lab, host: str, script: str, text: str) -> None:
    """Run a script on a host that reads this text."""
    said = lab.run("lab", "exec", host, "sh", "-c", script, stdin=text)
    assert said.code == 0, said.err


def reissued(lab: Lab, host: str, lasts: timedelta) -> str:
    """The host's certificate as the estate's CA would have made it for another time; its key stays."""
    vault = lab.estate().opened()
    old = x509.load_pem_x509_certificate(vault.get("tls", "hosts", host, "certificate").encode())
    signer = load_pem_private_key(vault.get("tls", "ca_key").encode(), None)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + lasts)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


@contextmanager
def gateway_certificate(pair: Pair, lasts: timedelta) -> Iterator[None]:
    """The store shows a certificate that lasts so long."""
    show = f"cp -a {GATEWAY_PEM} {GATEWAY_PEM}.kept && cat {TLS}/host.key - >{GATEWAY_PEM}"
    give(pair.lab, STORE, f"{show} && systemctl restart {RADOSGW}", reissued(pair.lab, STORE, lasts))
    try:
        yield
    finally:
        pair.on(STORE, f"mv {GATEWAY_PEM}.kept {GATEWAY_PEM}; systemctl restart {RADOSGW}")


@contextmanager
def standby_certificate(pair: Pair, lasts: timedelta) -> Iterator[None]:
    """The standby's host shows a certificate that lasts so long; PostgreSQL is told to read it."""
    own = f"{TLS}/host.pem"
    script = f"cp -a {own} {own}.kept && cat >{own} && {RUN} reload"
    give(pair.lab, pair.standby, script, reissued(pair.lab, pair.standby, lasts))
    try:
        yield
    finally:
        pair.on(pair.standby, f"mv {own}.kept {own}; {RUN} reload")


@contextmanager
def store_down(pair: Pair) -> Iterator[None]:
    """S3 is gone while the witness on the same host lives on."""
    pair.on(STORE, f"systemctl stop {RADOSGW}")
    try:
        yield
    finally:
        pair.on(STORE, f"systemctl start {RADOSGW}")


@contextmanager
def store_slow(pair: Pair) -> Iterator[None]:
    """A token bucket on the store's interface, by this machine's tc in the host's network."""
    network = machine.inside(STORE, [], ["--net"])[:4]
    interface = pair.lab.estate().config.network.interface
    qdisc = [*network, "tc", "qdisc"]
    subprocess.run([*qdisc, "add", "dev", interface, "root", "tbf", *SLOW], check=True)
    try:
        yield
    finally:
        subprocess.run([*qdisc, "del", "dev", interface, "root"], check=True)


@contextmanager
def quota_reached(pair: Pair) -> Iterator[None]:
    """The owner's quota is less than what lies there: every write is refused."""
    quota = (
        f"radosgw-admin quota set --quota-scope=user --uid=owner --max-size={{}}; systemctl restart {RADOSGW}"
    )
    pair.on(STORE, quota.format(1024**2))
    try:
        yield
    finally:
        pair.on(STORE, quota.format(pair.lab.estate().config.s3.quota_gib * 1024**3))


@contextmanager
def store_disk_nearly_full(pair: Pair) -> Iterator[None]:
    room = f"$(( $(stat -f -c '%a * %S - %b * %S * {FREE_PERCENT} / 100' /srv) ))"
    pair.on(STORE, f"fallocate -l {room} /srv/ballast")
    try:
        yield
    finally:
        pair.on(STORE, "rm -f /srv/ballast")


@contextmanager
def clock_off(pair: Pair, host: str, unit: str) -> Iterator[None]:
    """One service sees a clock that is two hours ahead, by a library that is made here (clock.c)."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "clock.so"
        source = Path(__file__).with_name("clock.c")
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(made), str(source)], check=True)
        library = base64.b64encode(made.read_bytes()).decode()
    give(pair.lab, host, f"base64 -d >{CLOCK} && chmod 644 {CLOCK}", library)
    drop_in = f"/run/systemd/system/{unit}.d"
    words = f"LD_PRELOAD={CLOCK} CLOCK_AHEAD={OFF_SECONDS}"
    again = f"systemctl daemon-reload && systemctl restart {unit}"
    settings = f"printf '[Service]\\nEnvironment={words}\\n' >{drop_in}/clock.conf"
    pair.on(host, f"mkdir -p {drop_in} && {settings} && {again}")
    try:
        yield
    finally:
        pair.on(host, f"rm -rf {drop_in} && {again}; rm -f {CLOCK}")


@contextmanager
def stray_backup(pair: Pair) -> Iterator[None]:
    """The standby is promoted by hand and backed up, then it is off; the primary goes on by itself.

    It archives nothing meanwhile: the WAL of that history must not be followed by later tests.
    """
    alone = "/run/alone.conf"
    settings = f"{DATA}/postgresql.auto.conf"
    quiet = f"echo \"archive_command = 'true pgbackrest'\" >>{settings}"
    pair.on(pair.standby, f"{KILL_PATRONI}; {quiet}; {RUN} reload; {RUN} promote")
    backup = f"pgbackrest --config={alone} --stanza=pair --no-archive-check --type=full backup"
    try:
        pair.on(
            pair.standby,
            f"set -e; install -m 640 -g postgres /dev/null {alone}; sed '/^pg2-/d' {PGBACKREST} >{alone};"
            f" {AS_POSTGRES} psql -c checkpoint; {AS_POSTGRES} {backup}; {RUN} stop -m fast",
        )
        pair.until("standby-down")
        yield
    finally:
        pair.on(
            pair.standby, f"rm -f {alone}; {RUN} stop -m fast || true; sed -i '/true pgbackrest/d' {settings}"
        )
        mend(pair.lab)
        Pair(pair.lab)
