"""An application that deadlocks, hoards connections or memory on demand, beside the lab's own on app1."""

from __future__ import annotations

import base64
import io
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from injections import give
from pair import Pair

APP = "app1"
SOURCE = Path(__file__).parents[1] / "fault-app" / "Fault.java"
SERVER = "/var/lib/liberty/servers/rmc"
WAR = "/opt/fault/fault.war"
APIS = ("api/spec/io.openliberty.jakarta.servlet.6.0", "api/spec/io.openliberty.jakarta.annotation.2.1")
ELEMENT = (
    f'<webApplication id="fault" name="fault" location="{WAR}" contextRoot="/fault"><web-bnd>'
    '<resource-ref name="jdbc/app" binding-name="jdbc/management"/></web-bnd></webApplication>'
)
THREADS = 8  # of requests at most, so that a few that hang are all
MANY = 64  # from the start, so that as many that wait hold up nobody
# Even one that hangs, and as often as wanted: systemd would refuse the sixth start within two minutes.
RESTART = (
    "systemctl kill -s KILL liberty; systemctl stop liberty; systemctl reset-failed liberty;"
    " systemctl start liberty"
)
READY_SECONDS = 150


def war(kit: Path) -> bytes:
    """Compiled with the API that Liberty's own archive in the kit brings."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(kit) as archive:
        jars = []
        for part in APIS:
            name = next(name for name in archive.namelist() if part in name)
            jars.append(Path(folder) / Path(name).name)
            jars[-1].write_bytes(archive.read(name))
        path = ":".join(map(str, jars))
        subprocess.run(["javac", "--release", "17", "-cp", path, "-d", folder, str(SOURCE)], check=True)
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as target:
            for built in Path(folder).glob("*.class"):
                target.write(built, f"WEB-INF/classes/{built.name}")
        return made.getvalue()


@contextmanager
def beside(pair: Pair, heap_mib: int | None = None, *, few: bool = False) -> Iterator[None]:
    """It runs beside the others: with a smaller heap than the estate's, or with a ``few`` threads for all."""
    files = ["server.xml", *(["jvm.options"] if heap_mib else [])]
    try:
        liberty = pair.lab.estate().config.liberty.archive
        built = war(pair.lab.estate().config.kit.path / "liberty" / liberty)
        pair.on(APP, "mkdir -p /opt/fault")
        give(pair.lab, APP, f"base64 -d >{WAR}", base64.b64encode(built).decode())
        for file in files:
            pair.on(APP, f"cp -a {SERVER}/{file} {SERVER}/{file}.kept")
        most = f' maxThreads="{THREADS}"' if few else ""
        threads = f'<executor coreThreads="{THREADS if few else MANY}"{most}/>'
        edits = f"-e 's#</server>#{ELEMENT}</server>#' -e 's#<executor .*/>#{threads}#'"
        pair.on(APP, f"sed -i {edits} {SERVER}/server.xml")
        if heap_mib:
            sizes = f"-e 's/^-Xms.*/-Xms64m/' -e 's/^-Xmx.*/-Xmx{heap_mib}m/'"
            pair.on(APP, f"sed -i {sizes} {SERVER}/jvm.options")
        pair.on(APP, RESTART)
        wait_for(pair, "/fault/here")
        yield
    finally:
        back = "; ".join(
            f"[ ! -e {SERVER}/{file}.kept ] || mv {SERVER}/{file}.kept {SERVER}/{file}" for file in files
        )
        pair.on(APP, f"{back}; rm -rf /opt/fault; {RESTART}")


def cause(pair: Pair, what: str, count: int) -> None:
    """Ask for it so many times side by side; nobody waits for an answer that does not come."""
    asking = [
        threading.Thread(target=_ask, args=(pair, f"/fault/x?{what}", 3), daemon=True) for _ in range(count)
    ]
    for one in asking:
        one.start()
    for one in asking:
        one.join()


def wait_for(pair: Pair, path: str) -> None:
    """Until Liberty answers there. Fails where it does not within two and a half minutes."""
    deadline = time.monotonic() + READY_SECONDS
    while _ask(pair, path, 3) is None:
        assert time.monotonic() < deadline, f"Liberty does not answer {path}"
        time.sleep(1)


def _ask(pair: Pair, path: str, seconds: float) -> int | None:
    """The status, whatever it is; None for no answer."""
    estate = pair.lab.estate()
    trust = ssl.create_default_context(cafile=str(estate.private_dir / "ca.pem"))
    trust.check_hostname = False
    url = f"https://{estate.host(APP).address}:{estate.config.applications.port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=trust) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code if error.code != 404 else None
    except OSError:
        return None


def answers(pair: Pair) -> None:
    """Until Liberty answers at all, ready or not."""
    wait_for(pair, "/health/live")


def age(pair: Pair, seconds: float) -> None:
    """Until Liberty's process is as old as that."""
    shown = pair.on(APP, "systemctl show --property=ExecMainStartTimestampMonotonic --value liberty")
    time.sleep(max(0.0, int(shown) / 1e6 + seconds - time.monotonic()))  # all hosts have this kernel's clock
