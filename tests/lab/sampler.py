"""Tries to write into one PostgreSQL every 100 ms, as the application would, until told to stop (SIGTERM).

    python sampler.py HOST ADDRESS CA DATABASE ROLE      (the password comes from SAMPLER_PASSWORD)

Prints one JSON object: how often it was let in for writing, and what it was told otherwise.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter

import psycopg

EVERY_SECONDS = 0.1
COLUMNS = "id, subject, specimen, step, witness"
INSERT = f"insert into checks ({COLUMNS}) values (%s, 'gamete', 'sample', 'identity', 's')"  # noqa: S608


def try_to_write(where: dict[str, str], heard: Counter[str]) -> None:
    try:
        with psycopg.connect(**where) as connection:
            if where["target_session_attrs"] == "any":
                connection.execute(INSERT, [uuid.uuid4()])
                connection.rollback()
        heard["let in"] += 1
    except psycopg.Error as error:
        heard[" ".join(str(error).split()).rpartition(": ")[2][:80]] += 1


def main() -> None:
    host, address, ca, database, role = sys.argv[1:]
    where = {
        "host": host, "hostaddr": address, "dbname": database, "user": role, "sslmode": "verify-full",
        "sslrootcert": ca, "password": os.environ["SAMPLER_PASSWORD"], "connect_timeout": "2",
        "gssencmode": "disable",
    }  # fmt: skip
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    heard: Counter[str] = Counter()
    tries = []
    began = time.monotonic()
    while not over.is_set():
        # In turn: a session that libpq itself asks to be writable, and an INSERT into whatever answers.
        way = "read-write" if len(tries) % 2 else "any"
        tries.append(
            threading.Thread(target=try_to_write, args=({**where, "target_session_attrs": way}, heard))
        )
        tries[-1].start()
        over.wait(max(0.0, began + len(tries) * EVERY_SECONDS - time.monotonic()))
    for one in tries:
        one.join()
    sys.stdout.write(json.dumps({"tries": len(tries), "heard": heard}) + "\n")


if __name__ == "__main__":
    main()
