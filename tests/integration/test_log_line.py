"""What an operator gets to see in the log: one line an event."""

from local.hub.faults import Fault
from local.stack import Stack
from tests.end_to_end.host_log import HostLog
from tests.end_to_end.hosts import new_user, register_phones
from tests.rig import call_to

FIELDS = {
    "event",
    "version",
    "event_id",
    "call_id",
    "callee",
    "result",
    "devices",
    "accepted",
    "already_settled",
    "retried",
    "gone",
    "failed",
    "age_at_first_push_ms",
    "total_ms",
}


class TestLine:
    def test_one_with_all_fields(self, workers: Stack, host_log: HostLog) -> None:
        """An event leaves one structured line: ids, counts, the age at the first push, the time it took."""
        phones = register_phones(workers.host, user := new_user())
        workers.hub.add_fault(Fault(kind="status", status=503, times=1, device_handle=phones[0].device_token))
        workers.hub.add_fault(Fault(kind="status", status=410, device_handle=phones[1].device_token))
        event, mark = call_to(user), host_log.mark()
        assert workers.host.deliver(event).status_code == 202
        entry = host_log.entry(mark, event="incoming_call")
        assert entry.level == "INFO"
        assert entry.fields.keys() == FIELDS | {"troubles"}
        assert (entry.fields["event_id"], entry.fields["call_id"]) == (
            event["id"],
            event["data"]["correlationId"],
        )
        counts = {"devices": 3, "accepted": 2, "retried": 1, "gone": 1, "failed": 0, "already_settled": 0}
        assert {name: entry.fields[name] for name in counts} == counts
        assert 0 <= entry.fields["age_at_first_push_ms"] < 5_000
        assert 0 < entry.fields["total_ms"] < 5_000

    def test_one_whatever_happens(self, workers: Stack, host_log: HostLog) -> None:
        """Raised, duplicate and unintelligible events leave one line each as well."""
        register_phones(workers.host, user := new_user())
        workers.hub.add_fault(Fault(kind="status", status=429, retry_after="60"))
        event = call_to(user)
        broken = {**call_to(user), "data": {}}
        for one, result in ((event, "incomplete"), (broken, "failed")):
            mark = host_log.mark()
            assert workers.host.deliver(one).status_code == 500
            assert host_log.entry(mark, event="incoming_call").fields["result"] == result
        workers.hub.clear_faults()
        for result in ("delivered", "duplicate"):
            mark = host_log.mark()
            assert workers.host.deliver(event).status_code == 202
            assert host_log.entry(mark, event="incoming_call").fields["result"] == result

    def test_it_names_no_user(self, workers: Stack, host_log: HostLog) -> None:
        """Neither tokens nor users nor names nor the call's context stand in any line."""
        phones = register_phones(workers.host, user := new_user())
        for phone in phones:
            workers.hub.add_fault(Fault(kind="status", status=401, device_handle=phone.device_token))
        event, mark = call_to(user), host_log.mark()
        assert workers.host.deliver(event).status_code == 500
        host_log.entry(mark, event="incoming_call")
        text = "\n".join(host_log.lines(mark))
        data = event["data"]
        secrets = [phone.device_token for phone in phones]
        secrets += [user, data["callerDisplayName"], data["incomingCallContext"], "SharedAccessSignature"]
        assert [secret for secret in secrets if secret in text] == []
