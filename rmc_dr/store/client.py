"""S3 clients: bounded in time, proven by a CA, deaf to what the operator's own environment says of AWS."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3
from botocore.config import Config

from rmc_dr.estate import Estate
from rmc_dr.store import endpoint

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

Key = Literal["owner", "writer", "verifier", "keeper"]
CONNECT_SECONDS = 3
READ_SECONDS = 15
ATTEMPTS = 2


def client(estate: Estate, key: Key) -> S3Client:
    """A client with one of the estate's four keys. Raises BadInput where the vault lacks it or is closed."""
    secrets = estate.opened()
    where = endpoint.of(estate)
    return connect(
        url=where.url,
        region=estate.config.s3.region,
        authority=where.authority,
        access_key=secrets.get("s3", key, "access_key"),
        secret_key=secrets.get("s3", key, "secret_key"),
    )


def connect(*, url: str, region: str, authority: str | Path, access_key: str, secret_key: str) -> S3Client:
    """A client for any endpoint. A store that is silent costs at most about half a minute a request."""
    session = boto3.session.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name=region
    )
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        proxies={},
        # Checksums in trailers are newer than many stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return session.client("s3", endpoint_url=url, verify=str(authority), config=config)
