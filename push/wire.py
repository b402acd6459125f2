"""One POST to the hub over a kept-alive connection.

`requests` decides how the hub is reached (certificates, proxies, pool); each send then goes straight to the
connection pool. Preparing and merging a whole request again for every push took more than twice the
processor time of the send (docs/performance.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.util import Timeout

_MOST_CONNECTIONS = 1_024
"""More than the threads of one worker process; they are opened as they are needed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub answered; its body is not kept."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""


class HubWire:
    """Posts to one URL. Safe to share between threads."""

    def __init__(self, url: str) -> None:
        """Take the whole URL, query included.

        The environment's proxies and certificates count as they are now; a `.netrc` never does, since it
        would replace the SAS token.
        """
        with requests.Session() as session:
            environment = session.merge_environment_settings(url, {}, None, None, None)
        # A connection beyond the limit would be closed after one send, and the next one shake hands again.
        self._adapter = HTTPAdapter(pool_connections=1, pool_maxsize=_MOST_CONNECTIONS)
        prepared = requests.Request("POST", url).prepare()
        pool = self._adapter.get_connection_with_tls_context(
            prepared, environment["verify"], proxies=environment["proxies"], cert=environment["cert"]
        )
        self._pool = cast("HTTPConnectionPool", pool)
        self._target = self._adapter.request_url(prepared, environment["proxies"])

    def post(self, body: bytes, headers: Mapping[str, str], timeout: Timeout) -> Answer:
        """Send once, follow nothing, repeat nothing.

        Raises:
            urllib3.exceptions.HTTPError: the network failed; its kind says how.
        """
        response = self._pool.urlopen(
            "POST",
            self._target,
            body,
            headers,
            retries=False,
            redirect=False,
            assert_same_host=False,
            timeout=timeout,
        )
        return Answer(response.status, response.headers)

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
