"""How the modules that speak S3 are told where, as whom, and what proves the store."""

CONNECTION = {
    "url": {"type": "str", "required": True},
    "region": {"type": "str", "required": True},
    "authority": {"type": "path", "required": True},
    "access_key": {"type": "str", "required": True},
    "secret_key": {"type": "str", "required": True, "no_log": True},
}


def connection(given: dict) -> dict:
    """What `rmc_dr.store.client.connect` asks for, out of a module's parameters."""
    return {key: given[key] for key in CONNECTION}
