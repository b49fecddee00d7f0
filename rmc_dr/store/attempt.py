"""One request and how it ended: done, refused by the store, or never answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

FORBIDDEN = 403
# The store does not know who asks: that proves nothing about what he may do.
UNKNOWN_KEY = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed")


class Unanswered(Exception):
    """No answer came in time; nothing more needs to be asked."""


@dataclass(frozen=True)
class Attempt:
    """``code`` is the store's own word for why not, empty where it was done."""

    answer: Any = None
    code: str = ""
    status: int = 0

    @property
    def done(self) -> bool:
        return not self.code

    @property
    def forbidden(self) -> bool:
        """Refused to this key, which the store knows."""
        return self.status == FORBIDDEN and self.code not in UNKNOWN_KEY


def attempt(call: Callable[..., Any], **arguments: Any) -> Attempt:
    """Make one request. Raises Unanswered."""
    try:
        return Attempt(call(**arguments))
    except ClientError as error:
        said = error.response
        return Attempt(
            code=said.get("Error", {}).get("Code", "?"),
            status=said.get("ResponseMetadata", {}).get("HTTPStatusCode", 0),
        )
    except BotoCoreError as error:
        raise Unanswered(str(error)) from None
