"""A client for the app: the real API and the real webhook, with their keys."""

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

from local.host.admin import invoke_path
from local.stack import REQUEST_TIMEOUT_SECONDS, Host


def new_trace() -> str:
    """The id of a new trace: 32 hexadecimal digits."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class AppAnswer:
    """The app's answer. Without one, `status` is `None` and `problem` says why."""

    status: int | None
    body: Any
    took_ms: int
    problem: str | None = None


class AppClient:
    """Its requests can be cancelled when the page stops. Use it in the event loop that entered it.

    `trace` is the id of the trace that the app's spans of the request then belong to.
    """

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

    async def report(self, report: Mapping[str, Any], trace: str) -> AppAnswer:
        """`POST /api/report_call`."""
        return await self._api("POST", "report_call", "ReportCall", trace, json=report)

    async def forget_dead_devices(self) -> AppAnswer:
        """Run the timer function of that name now, over the host's admin route."""
        url = f"{self._host.url}{invoke_path('ForgetDeadDevices')}"
        headers = {"x-functions-key": self._host.keys.master}
        return await self._request("POST", url, headers=headers, json={})

    async def deliver(self, event: Mapping[str, Any], trace: str) -> AppAnswer:
        """A batch of one event, as Event Grid delivers it."""
        headers = {"aeg-event-type": "Notification", **_trace_header(trace)}
        return await self._request("POST", self._host.webhook_url, headers=headers, json=[event])

    async def _api(
        self,
        method: str,
        route: str,
        function: str,
        trace: str = "",
        **content: Any,  # noqa: ANN401 - passed on
    ) -> AppAnswer:
        headers = {"x-functions-key": self._host.keys.functions[function], **_trace_header(trace)}
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


def _trace_header(trace: str) -> dict[str, str]:
    """W3C's Trace Context."""
    return {"traceparent": f"00-{trace}-{uuid.uuid4().hex[:16]}-01"} if trace else {}
