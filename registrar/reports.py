"""What phones report of a call: from HTTP to a report and back."""

from collections.abc import Callable

import azure.functions as func

from common.clock import Clock
from common.http import empty_response
from models.errors import CallNotFoundError
from models.report import CallReport, ReportEffect
from models.requests import ReportCallRequest
from models.validation import parse_json
from registrar.access import Access
from registrar.audit import Audit
from registrar.rate import RateLimit
from registrar.registrations import Limits
from registrar.request_body import read_body


class Reports:
    """Takes reports of phones.

    It authenticates the caller, validates the request, authorises it and counts the report before it looks
    for the call. So the answer to a caller without the right does not depend on any call. For a caller with
    the right, a call of another user and no call at all are the same.
    """

    def __init__(
        self,
        reported: Callable[[CallReport], ReportEffect],
        access: Access,
        rate: RateLimit,
        clock: Clock,
        limits: Limits,
    ) -> None:
        """Take ready collaborators; `reported` writes the report down and draws the conclusions."""
        self._reported = reported
        self._access = access
        self._rate = rate
        self._clock = clock
        self._limits = limits

    def report_call(self, request: func.HttpRequest) -> func.HttpResponse:
        """204 as soon as the report is written and what follows from it has been tried."""
        caller = self._access.authenticate(request.headers)
        body = read_body(request, self._limits.body_bytes)
        report = parse_json(ReportCallRequest, body, self._limits.fields).report
        caller.check_may_act_for(report.owner)
        self._rate.count(report.owner, self._clock.now())
        effect = self._reported(report)
        if effect is ReportEffect.NO_SUCH_CALL:
            raise CallNotFoundError(
                "Within the last day no such call has rung for the user, or the user has no such device."
            )
        if effect is ReportEffect.RING_ENDED:
            Audit(caller.right, report.owner).ring_ended(report.device_uuid, report.state)
        return empty_response()
