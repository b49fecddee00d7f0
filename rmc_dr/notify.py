"""The only sender of notifications, by Apprise: WeCom, DingTalk, Feishu, mail, a webhook ... each by its URL.

An URL holds a password: it is never in an argument, a log or a record. What is told of a receiver is its
place in the vault's list and its kind; of a failure only that it was one, for a server's words may repeat it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

TIMEOUT_SECONDS = 30.0


def label(number: int, address: str) -> str:
    """How a receiver is called where others read: ``2-dingtalk``."""
    kind = address.partition("://")[0]
    return f"{number}-{kind if kind.isalnum() else 'unknown'}"


def labels(addresses: Sequence[str]) -> dict[str, str]:
    """Every receiver by its label."""
    return {label(number, address): address for number, address in enumerate(addresses, 1)}


def is_understood(address: str) -> bool:
    """Whether Apprise knows what such an URL means; nothing is sent."""
    from apprise import Apprise

    _hush()
    return bool(Apprise().add(address))


def send(address: str, title: str, text: str) -> bool:
    """Send to one receiver; whether it took it. Gives up after about half a minute."""
    from apprise import Apprise, AppriseAsset
    from apprise.common import NotifyFormat, PersistentStoreMode

    _hush()
    asset = AppriseAsset(
        app_id="rmc-dr",
        app_desc="rmc-dr",
        app_url="",
        storage_mode=PersistentStoreMode.MEMORY,  # nothing of a receiver's is left on the disk
        service_timeout=TIMEOUT_SECONDS,
    )
    carrier = Apprise(asset=asset)
    if not carrier.add(address):
        return False
    return bool(carrier.notify(body=text, title=title, body_format=NotifyFormat.TEXT))


def send_all(addresses: Sequence[str], title: str, text: str) -> dict[str, bool]:
    """Send to all side by side; by label, who took it."""
    known = labels(addresses)
    if not known:
        return {}
    with ThreadPoolExecutor(len(known)) as pool:
        taken = pool.map(lambda address: send(address, title, text), known.values())
        return dict(zip(known, taken, strict=True))


def unreached(addresses: Sequence[str], title: str, text: str) -> str | None:
    """Send to all; the labels of those that did not take it, None where each did."""
    return ", ".join(to for to, ok in send_all(addresses, title, text).items() if not ok) or None


def _hush() -> None:
    """Apprise, and what it sends with, log receivers with all their words."""
    for name in ("apprise", "urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.handlers = [logging.NullHandler()]
        logger.propagate = False
