"""A server before a gRPC server: it passes on what is asked, and lets some of it fail."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import grpc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NEVER_PASSED_ON = frozenset({"user-agent"})
"""Metadata of one connection only."""


@dataclass
class Fault:
    """What goes wrong, with which calls.

    Attributes:
        code: what they end with instead of being passed on.
        delay: seconds before they are; with a code, before they fail.
        method: the last part of their name, such as Commit; empty for any.
        times: as often; None for as long as `lasts` says.
        lasts: whether it goes on.
    """

    code: grpc.StatusCode | None = None
    delay: float = 0.0
    method: str = ""
    times: int | None = None
    lasts: Callable[[], bool] = lambda: True


@dataclass
class GrpcFront:
    """Serves on a free port of 127.0.0.1 while it is entered.

    Whatever a method's kind, its answers are passed on one by one: an answer
    and a stream of one look the same on the wire.

    Attributes:
        target: host:port of the server behind it.
        faults: the first that fits a call decides.
        calls: how often each method was called, and failed how often.
    """

    target: str
    faults: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    host: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        size = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        self._channel = grpc.insecure_channel(self.target, size)
        self._server = grpc.server(
            ThreadPoolExecutor(32), options=[*size, ("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers([_Handlers(self)])
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.stop(0).wait()
        self._channel.close()

    def answer(self, method: str, request: bytes, context: Any) -> Iterator[bytes]:
        """Fail, or what the server behind answers."""
        fault = self._fault(method.rpartition("/")[2])
        self._over.wait(fault.delay)
        if fault.code:
            context.abort(fault.code, f"simulated {fault.code.name}")
        metadata = [
            pair for pair in context.invocation_metadata() if pair[0] not in NEVER_PASSED_ON
        ]
        call = self._channel.unary_stream(method, _as_it_is, _as_it_is)
        try:
            yield from call(request, metadata=metadata, timeout=context.time_remaining())
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())

    def _fault(self, method: str) -> Fault:
        with self._lock:
            self.calls[method] += 1
            for fault in self.faults:
                if fault.method in ("", method) and fault.times != 0 and fault.lasts():
                    if fault.times is not None:
                        fault.times -= 1
                    self.failed[method] += fault.code is not None
                    return fault
        return Fault()


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, front: GrpcFront) -> None:
        self._front = front

    def service(self, call: Any) -> Any:
        def behave(request: bytes, context: Any) -> Iterator[bytes]:
            return self._front.answer(call.method, request, context)

        return grpc.unary_stream_rpc_method_handler(behave, _as_it_is, _as_it_is)


def _as_it_is(data: bytes) -> bytes:
    return data
