"""The messages that the Python worker library exchanges with a Functions host.

In Azure these are protobuf classes generated from `FunctionRpc.proto` (repository
Azure/azure-functions-language-worker-protobuf). The library accesses them by attribute only, so plain values
are enough: this module is passed to the library as `protos`. Classes, fields and enum members have the names
of the `.proto` file.
"""

import builtins
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from enum import IntEnum


@dataclass(frozen=True, slots=True)
class TypedData:
    """One value, in one of the fields below; no field is set for an absent value."""

    string: str | None = None
    json: str | None = None
    bytes: builtins.bytes | None = None
    http: "RpcHttp | None" = None
    int: builtins.int | None = None
    double: float | None = None

    def WhichOneof(self, group: str) -> str | None:  # noqa: N802 - protobuf's own method name
        """The name of the field that is set; protobuf calls the group `data`."""
        if group != "data":
            raise ValueError(f"TypedData has no group {group!r}")
        return next((one.name for one in fields(self) if getattr(self, one.name) is not None), None)


@dataclass(frozen=True, slots=True)
class NullableString:
    value: str


@dataclass(frozen=True, slots=True)
class NullableBool:
    value: bool


@dataclass(frozen=True, slots=True)
class NullableDouble:
    value: float


@dataclass(frozen=True, slots=True)
class Timestamp:
    """Seconds since 1970, UTC."""

    seconds: int


@dataclass(frozen=True, slots=True)
class NullableTimestamp:
    value: Timestamp


@dataclass(frozen=True, slots=True)
class RpcHttpCookie:
    """One cookie that a function sets."""

    # A mapping because `None` cannot be a name in a class body.
    SameSite = IntEnum("SameSite", {"None": 0, "Lax": 1, "Strict": 2, "ExplicitNone": 3})

    name: str
    value: str
    domain: NullableString | None = None
    path: NullableString | None = None
    expires: NullableTimestamp | None = None
    secure: NullableBool | None = None
    http_only: NullableBool | None = None
    same_site: IntEnum | None = None
    max_age: NullableDouble | None = None


@dataclass(frozen=True, slots=True)
class RpcHttp:
    """An HTTP request (the first six fields) or an HTTP answer (the last five; `status_code` is text)."""

    method: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: TypedData = field(default_factory=TypedData)
    status_code: str = ""
    cookies: Sequence[RpcHttpCookie] | None = None
    enable_content_negotiation: bool = False


@dataclass(frozen=True, slots=True)
class ParameterBinding:
    """A value for one parameter of a function."""

    name: str
    data: TypedData

    def WhichOneof(self, group: str) -> str:  # noqa: N802 - protobuf's own method name
        """Always `data`: the alternative, shared memory, is not supported here."""
        if group != "rpc_data":
            raise ValueError(f"ParameterBinding has no group {group!r}")
        return "data"


class BindingInfo:
    """One declared binding. The enum members are class attributes, as in protobuf."""

    # A mapping because `in` cannot be a name in a class body.
    Direction = IntEnum("Direction", {"in": 0, "out": 1, "inout": 2})
    DataType = IntEnum("DataType", {"undefined": 0, "string": 1, "binary": 2, "stream": 3})

    out = Direction.out
    inout = Direction.inout
    undefined = DataType.undefined
    string = DataType.string
    binary = DataType.binary
    stream = DataType.stream

    def __init__(self, *, type: str, data_type: int | None, direction: int) -> None:  # noqa: A002
        self.type = type
        self.data_type = data_type
        self.direction = direction


@dataclass(frozen=True, slots=True)
class RpcException:
    """What a function raised: `message` is `Type: text`, `stack_trace` the traceback with its causes."""

    message: str = ""
    stack_trace: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class StatusResult:
    """How a request to the worker ended."""

    class Status(IntEnum):
        """The values of the .proto file."""

        Failure = 0
        Success = 1
        Cancelled = 2

    Failure = Status.Failure
    Success = Status.Success
    Cancelled = Status.Cancelled

    status: Status = Status.Failure
    exception: RpcException | None = None


@dataclass(frozen=True, slots=True)
class RpcRetryOptions:
    """A function's retry policy; part of the metadata, not applied here."""

    max_retry_count: int
    retry_strategy: str
    delay_interval: timedelta | None = None
    minimum_interval: timedelta | None = None
    maximum_interval: timedelta | None = None


@dataclass(frozen=True, slots=True)
class RpcFunctionMetadata:
    """One indexed function; `raw_bindings` has one JSON object (text) per binding."""

    name: str
    function_id: str
    raw_bindings: Sequence[str]
    bindings: Mapping[str, BindingInfo] = field(default_factory=dict)
    managed_dependency_enabled: bool = False
    directory: str = ""
    script_file: str = ""
    entry_point: str = ""
    is_proxy: bool = False
    language: str = ""
    retry_options: RpcRetryOptions | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerMetadata:
    """Name and version of the worker."""

    runtime_name: str
    runtime_version: str
    worker_version: str
    worker_bitness: str
    custom_properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerInitResponse:
    """The answer to the first request; fails if the function app cannot be imported."""

    result: StatusResult
    capabilities: Mapping[str, str] = field(default_factory=dict)
    worker_metadata: WorkerMetadata | None = None


@dataclass(frozen=True, slots=True)
class FunctionMetadataResponse:
    """Every function of the app; `None` without a `function_app.py` or a function in it."""

    result: StatusResult
    function_metadata_results: Sequence[RpcFunctionMetadata] | None = None
    use_default_metadata_indexing: bool = False


@dataclass(frozen=True, slots=True)
class FunctionLoadResponse:
    function_id: str
    result: StatusResult


@dataclass(frozen=True, slots=True)
class InvocationResponse:
    """How one invocation ended, and what the function returned."""

    invocation_id: str
    result: StatusResult
    return_value: TypedData | None = None
    output_data: Sequence[ParameterBinding] = ()
