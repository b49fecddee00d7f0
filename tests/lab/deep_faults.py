"""Faults that reach deeper: a pair torn apart, a database that is mute or stops, another host's key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from fault_app import APP, RESTART
from fault_ways import END, HOLD, begin_holder, end_holder, on, sql
from injections import give
from pair import AS_STANDBY, DATA, KILL_PATRONI, RUN, Pair, mend

POSTMASTER = f"$(head -n 1 {DATA}/postmaster.pid)"
# 1: it runs and lets nobody in, as one that is stopping. 0 and 2 are left alone: well, or stopped already.
STILL_STOPPING = "runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_isready -q; [ $? -ne 1 ]"
SETTINGS = f"{DATA}/postgresql.auto.conf"
QUIET = f"echo \"archive_command = 'true pgbackrest'\" >>{SETTINGS}"
WRITE = "set synchronous_commit = local; select pg_logical_emit_message(true, 'torn', repeat('x', 9999))"
FILLERS = "/srv/fillers"
INODES_PERCENT = 97  # the estate calls 95 critical
# As many empty files as leave so few inodes: some 180 000 on the lab's disk, in about ten seconds.
FILL = f"""
import os
room = os.statvfs("/srv")
missing = room.f_files * {INODES_PERCENT} // 100 - (room.f_files - room.f_ffree)
for number in range(missing):
    folder = f"{FILLERS}/{{number // 10000}}"
    if number % 10000 == 0:
        os.makedirs(folder)
    os.mknod(f"{{folder}}/{{number}}")
"""
KEY, OWN_KEY = "/etc/ssh/ssh_host_ed25519_key", "/root/own-key"
SSH_AGAIN = "pkill sshd || true; systemctl restart ssh"  # a connection that is open asks for no key


@contextmanager
def database_mute(pair: Pair) -> Iterator[None]:
    """The postmaster stands still: the kernel takes connections for it, and nobody answers them.

    Patroni's own session goes on, so it moves nobody; the applications' sessions end, so they come anew.
    """
    try:
        sql(pair, f"\\! kill -STOP {POSTMASTER}\n{END}")
        yield
    finally:
        pair.on(pair.primary, f"kill -CONT {POSTMASTER} || true")


@contextmanager
def stopping(pair: Pair) -> Iterator[None]:
    """Told to stop once its clients have gone (a smart shutdown); one of them never goes."""
    try:
        begin_holder(
            pair,
            f"(cat /run/{HOLD}; sleep 3600) | psql -X -q -d postgres",
            f"\\! kill -TERM {POSTMASTER}\nselect pg_sleep(1);\n{END}\n",
        )
        yield
    finally:
        end_holder(pair)
        pair.on(pair.primary, f"{STILL_STOPPING} || {RUN} stop -m fast")  # Patroni starts it again


@contextmanager
def torn(pair: Pair) -> Iterator[None]:
    """Promoted apart, both wrote; then both only read, and no Patroni decides between them.

    What the one that was promoted by hand holds is archived nowhere, and it is made anew afterwards.
    """
    both = (pair.primary, pair.standby)
    try:
        pair.on(pair.standby, f"{KILL_PATRONI}; {QUIET}; {RUN} reload; {RUN} promote")
        for host in both:
            pair.sql(host, WRITE)
        for host in both:
            pair.on(host, AS_STANDBY)
        pair.until("diverged")
        yield
    finally:
        pair.on(pair.standby, f"{KILL_PATRONI}; {RUN} stop -m fast || true")
        pair.on(pair.primary, "systemctl start patroni")
        pair.until("standby-down")  # its history goes on, so that of the other may go
        pair.on(pair.standby, f"rm -rf {DATA}; systemctl start patroni")
        mend(pair.lab)
        Pair(pair.lab)


@contextmanager
def no_inodes(pair: Pair) -> Iterator[None]:
    try:
        give(pair.lab, APP, "python3 -", FILL)
        yield
    finally:
        pair.on(APP, f"rm -rf {FILLERS}")


@contextmanager
def starting(pair: Pair) -> Iterator[None]:
    """Begun a second ago, and held there, long before it listens: so slow that every look meets it."""
    try:
        pair.on(APP, f"{RESTART}; sleep 1; systemctl kill --signal STOP liberty")
        yield
    finally:
        pair.on(APP, "systemctl kill --signal CONT liberty || true; systemctl start liberty")


def another_key(pair: Pair) -> AbstractContextManager[None]:
    """As where somebody installed the machine anew, or another one has its address."""
    new = f"rm {KEY} {KEY}.pub && ssh-keygen -q -t ed25519 -N '' -f {KEY}"
    return on(
        pair,
        APP,
        f"install -d -m 700 {OWN_KEY} && cp -a {KEY} {KEY}.pub {OWN_KEY} && {new} && {{ {SSH_AGAIN}; }}",
        f"if [ -d {OWN_KEY} ]; then cp -a {OWN_KEY}/* /etc/ssh && rm -rf {OWN_KEY}; fi; {SSH_AGAIN}",
    )
