"""The least of Direct Send that the reference and the floor need, written as the C# sample has it."""

import base64
import hashlib
import hmac
import os
import time
from urllib.parse import quote_plus


def setting(name: str) -> str:
    """An app setting."""
    return os.environ[name]


def sas_token(connection_string: str, hub_name: str, seconds: int = 300) -> str:
    """A token that lives for `seconds`, from a connection string with exactly three parts."""
    endpoint, key_name, key = (part.split("=", 1)[1] for part in connection_string.split(";"))
    resource = quote_plus(f"https{endpoint.removeprefix('sb')}{hub_name}").lower()
    expiry = int(time.time()) + seconds
    digest = hmac.new(key.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = quote_plus(base64.b64encode(digest).decode())
    return f"SharedAccessSignature sig={signature}&se={expiry}&skn={key_name}&sr={resource}"
