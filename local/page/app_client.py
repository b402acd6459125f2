"""A client for the app: the real API and the real webhook, with their keys."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from local.stack import REQUEST_TIMEOUT_SECONDS, Host


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """The app's answer. Without one, `status` is `None` and `problem` says why."""

    status: int | None
    body: Any
    took_ms: int
    problem: str | None = None


class AppClient:
    """Its requests can be cancelled when the page stops. Use it in the event loop that entered it."""

    def __init__(self, host: Host) -> None:
        """`host` has the app's address and keys."""
        self._host = host

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout, trust_env=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def register(self, registration: Mapping[str, Any]) -> AppAnswer:
        """`POST /api/add_device_token`."""
        return await self._api("POST", "add_device_token", "AddDeviceToken", json=registration)

    async def remove(self, acs_mri: str, device_uuid: str) -> AppAnswer:
        """`DELETE /api/delete_device_registration`."""
        query = {"acsMri": acs_mri, "deviceUUID": device_uuid}
        return await self._api(
            "DELETE", "delete_device_registration", "DeleteDeviceRegistration", params=query
        )

    async def deliver(self, event: Mapping[str, Any]) -> AppAnswer:
        """A batch of one event, as Event Grid delivers it."""
        headers = {"aeg-event-type": "Notification"}
        return await self._request("POST", self._host.webhook_url, headers=headers, json=[event])

    async def _api(self, method: str, route: str, function: str, **content: Any) -> AppAnswer:  # noqa: ANN401
        headers = {"x-functions-key": self._host.keys.functions[function]}
        return await self._request(method, f"{self._host.url}/api/{route}", headers=headers, **content)

    async def _request(self, method: str, url: str, **content: Any) -> AppAnswer:  # noqa: ANN401 - passed on
        began = time.monotonic()

        def took() -> int:
            return round((time.monotonic() - began) * 1_000)

        try:
            async with self._session.request(method, url, **content) as response:
                text = await response.text()
                is_json = response.content_type.endswith("json")
                return AppAnswer(
                    response.status, await response.json(content_type=None) if is_json else text, took()
                )
        except TimeoutError:
            return AppAnswer(None, None, took(), "the app did not answer in time")
        except (aiohttp.ClientError, ValueError) as error:
            # Its text may quote the URL, which contains the key.
            return AppAnswer(None, None, took(), f"the app could not be reached ({type(error).__name__})")
