"""One look at the whole pair: every node, every Patroni and every etcd voter, side by side."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor

from rmc_dr.errors import BadInput
from rmc_dr.estate import Estate
from rmc_dr.i18n import _
from rmc_dr.observe.etcd import observe_etcd
from rmc_dr.observe.patroni import observe_patroni
from rmc_dr.observe.postgres import observe_node
from rmc_dr.pair import Limits, PairObservation


def observe_pair(estate: Estate) -> PairObservation:
    """Look once; what does not answer in time is unknown. Raises BadInput without certificates or secrets."""
    database = estate.config.database
    hosts, voters = estate.group("dbserver"), [*estate.group("dbserver"), *estate.group("store")]
    context = tls_context(estate)
    estate.opened()
    with ThreadPoolExecutor(max_workers=2 * len(hosts) + len(voters)) as pool:
        nodes = [pool.submit(observe_node, estate, host) for host in hosts]
        views = [pool.submit(observe_patroni, estate, host, context) for host in hosts]
        members = [pool.submit(observe_etcd, estate, host, context) for host in voters]
        return PairObservation(
            nodes=tuple(node.result() for node in nodes),
            patroni=tuple(view.result() for view in views),
            etcd=tuple(member.result() for member in members),
            limits=Limits(database.lag_warning_bytes, database.lag_warning_seconds),
        )


def tls_context(estate: Estate) -> ssl.SSLContext:
    """Trusts the estate's CA alone, and shows the control machine's certificate, which etcd asks for."""
    folder = estate.private_dir
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.load_cert_chain(folder / "control.pem", folder / "control.key")
    except (OSError, ssl.SSLError):
        raise BadInput(
            "control-certificate",
            _("ca.pem, control.pem and control.key in {folder} cannot be used.").format(folder=folder),
            _("Run `rmc-dr estate init` to make them; for the lab, `rmc-dr lab up`."),
        ) from None
    return context
