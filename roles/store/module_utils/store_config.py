"""What the folder of a cluster holds, and how Ceph is configured for it."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

WHOLE = ("fsid", "mon/store.db", "mon/keyring", "osd/block", "osd/keyring", "keys/client.admin.keyring",
         "keys/client.rgw.a.keyring")  # fmt: skip


class State(Enum):
    """What is there. Only ``NOTHING`` may be founded on."""

    NOTHING = "nothing"
    WHOLE = "whole"
    DAMAGED = "damaged"


def holds(data: Path) -> State:
    """What the folder holds. A founding that was cut short is nothing: no client has ever seen it."""
    if not data.exists() or (data / "founding").exists() or not any(data.iterdir()):
        return State.NOTHING
    return State.DAMAGED if missing(data) else State.WHOLE


def missing(data: Path) -> list[str]:
    """What a whole cluster has and this one has not."""
    return [name for name in WHOLE if not (data / name).exists()]


# Monitor and OSD on the loopback, one copy of everything: the disk below is the host's concern, and what must
# outlive it is copied elsewhere. Without tcp_nodelay a small object takes 44 ms instead of 2. The log of the
# gateway keeps one line a request (rgw_access): who deleted what is evidence.
TEXT = """\
# Written by rmc-dr (role store).
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:3300/0,v1:127.0.0.1:6789/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = cephx
auth_service_required = cephx
auth_client_required = cephx
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
paxos_propose_interval = 0.1
log_to_file = false
log_to_stderr = true
mon_cluster_log_to_file = false

[mon]
mon_data = {data}/mon

[osd]
osd_data = {data}/osd
bluestore_block_size = {block_bytes}
osd_memory_target = {memory_bytes}

[client]
keyring = {data}/keys/$name.keyring

[client.rgw.a]
rgw_frontends = beast ssl_port=443 ssl_certificate={pem} tcp_nodelay=1
rgw_enable_apis = s3
rgw_rados_pool_pg_num_min = 1
rgw_exit_timeout_secs = 5
debug_rgw = 0
"""


def config(fsid: str, data: Path, block_bytes: int, memory_mib: int, pem: Path) -> str:
    """The text of ceph.conf. ``pem`` holds the gateway's key and certificate."""
    return TEXT.format(
        fsid=fsid, data=data, block_bytes=block_bytes, memory_bytes=memory_mib * 1024**2, pem=pem
    )
