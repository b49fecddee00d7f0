"""What the programs on hosts say in their few sentences, in the reader's language. Pure.

They are sent alone and speak English; what somebody else said (PostgreSQL, Java, the kernel) stays as it is.
"""

from __future__ import annotations

import re

from rmc_dr.i18n import _

LATE = re.compile(r"no answer within ([0-9.]+) s")
SSH = re.compile(r"ssh ended with (-?[0-9]+)")
NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")


def spoken(said: str) -> str:
    """A sentence of theirs, with what follows its colon as it is; anything else unchanged."""
    return known(said) or said


def known(said: str) -> str:
    """The same; "" for what is none of theirs."""
    if late := LATE.fullmatch(said):
        return _("no answer within {seconds} s").format(seconds=late[1])
    if ended := SSH.fullmatch(said):
        return _("ssh ended with {code}").format(code=ended[1])
    head, colon, rest = NUMBER.sub("", said).partition(": ")
    sentence = _sentences().get(head)
    return f"{sentence}{colon}{rest}" if sentence else ""


def way_word(why: str) -> str:
    """How the network ended a connection; "" for what is none of its ways."""
    return {
        "refused": _("refused at once"),
        "timeout": _("no answer in time"),
        "unresolved": _("the name has no address"),
        "unreachable": _("not reachable"),
    }.get(why, "")


def _sentences() -> dict[str, str]:
    return {
        "PostgreSQL did not tell how large it is": _("PostgreSQL did not tell how large it is"),
        "certificate": _("certificate"),
        "its port is no number": _("its port is no number"),
        "its URL is none of PostgreSQL's driver": _("its URL is none of PostgreSQL's driver"),
        "the password is encrypted with Liberty's own key": _(
            "the password is encrypted with Liberty's own key"
        ),
        "the password cannot be decoded": _("the password cannot be decoded"),
        "the password's variable is not defined": _("the password's variable is not defined"),
        "the server answers with another nonce": _("the server answers with another nonce"),
        "the server asks for an unknown authentication": _("the server asks for an unknown authentication"),
        "the server closed the connection": _("the server closed the connection"),
        "the server does not know the password itself": _("the server does not know the password itself"),
        "the server sent an unexpected message": _("the server sent an unexpected message"),
        "the server speaks no TLS": _("the server speaks no TLS"),
        # Python's and the kernel's own, where no way of the network's is told beside them.
        "Connection refused": _("refused at once"),
        "Connection reset by peer": _("the server closed the connection"),
        "No route to host": _("not reachable"),
        "Remote end closed connection without response": _("the server closed the connection"),
        "The handshake operation timed out": _("no answer in time"),
        "The read operation timed out": _("no answer in time"),
        "timed out": _("no answer in time"),
    }
