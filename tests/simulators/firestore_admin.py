"""A simulator of Firestore's Admin API, which no emulator has: its gRPC, on this machine.

Databases, composite indexes and fields, with operations that are over at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

import grpc
from google.cloud.firestore_admin_v1.types import Database, Field, Index, firestore_admin
from google.longrunning import operations_pb2

if TYPE_CHECKING:
    from collections.abc import Callable

SERVICE: Final = "google.firestore.admin.v1.FirestoreAdmin"


@dataclass
class FirestoreAdminSimulator:
    """A server; entered, it serves on a free port.

    Attributes:
        databases, indexes, fields: what there is, by path; indexes by the path
            of their collection group.
        refusal: what every call is answered with instead.
        writes: methods that changed something, in order.
    """

    databases: dict[str, Any] = field(default_factory=dict)
    indexes: dict[str, list[Any]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    refusal: tuple[grpc.StatusCode, str] | None = None
    writes: list[str] = field(default_factory=list)
    endpoint: str = ""

    def __enter__(self) -> Self:
        asked = firestore_admin
        methods = {
            "GetDatabase": self._method(self._database, asked.GetDatabaseRequest, Database),
            "CreateDatabase": self._method(self._new_database, asked.CreateDatabaseRequest),
            "ListIndexes": self._method(
                self._listed, asked.ListIndexesRequest, asked.ListIndexesResponse
            ),
            "CreateIndex": self._method(self._new_index, asked.CreateIndexRequest),
            "GetField": self._method(self._field, asked.GetFieldRequest, Field),
            "UpdateField": self._method(self._updated, asked.UpdateFieldRequest),
        }
        self._threads = ThreadPoolExecutor(8)
        self._server = grpc.server(self._threads, options=[("grpc.so_reuseport", 0)])
        handler = grpc.method_handlers_generic_handler(SERVICE, methods)
        self._server.add_generic_rpc_handlers([handler])
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait()
        self._threads.shutdown()

    def _method(self, answer: Callable[..., Any], request: Any, response: Any = None) -> Any:
        def answered(message: Any, context: Any) -> Any:
            if self.refusal:
                context.abort(*self.refusal)
            return answer(message, context)

        serialize = response.serialize if response else operations_pb2.Operation.SerializeToString
        return grpc.unary_unary_rpc_method_handler(
            answered, request_deserializer=request.deserialize, response_serializer=serialize
        )

    def _database(self, request: Any, context: Any) -> Any:
        if request.name not in self.databases:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Database {request.name} does not exist.")
        return self.databases[request.name]

    def _new_database(self, request: Any, context: Any) -> Any:
        name = f"{request.parent}/databases/{request.database_id}"
        if name in self.databases:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, "Database already exists.")
        request.database.name = name
        self.databases[name] = request.database
        return self._over("CreateDatabase", request.database)

    def _listed(self, request: Any, context: Any) -> Any:
        self._check(request.parent, context)
        return firestore_admin.ListIndexesResponse(indexes=self.indexes.get(request.parent, []))

    def _new_index(self, request: Any, context: Any) -> Any:
        self._check(request.parent, context)
        index = request.index
        last = index.fields[-1].order
        index.fields.append(Index.IndexField(field_path="__name__", order=last))
        index.state = Index.State.CREATING
        self.indexes.setdefault(request.parent, []).append(index)
        return self._over("CreateIndex", index)

    def _field(self, request: Any, context: Any) -> Any:
        self._check(request.name, context)
        inherited = Field.IndexConfig(uses_ancestor_config=True)
        return self.fields.get(request.name) or Field(name=request.name, index_config=inherited)

    def _updated(self, request: Any, context: Any) -> Any:
        self._check(request.field.name, context)
        self.fields[request.field.name] = request.field
        return self._over("UpdateField", request.field)

    def _check(self, path: str, context: Any) -> None:
        database = "/".join(path.split("/")[:4])
        if database not in self.databases:
            context.abort(grpc.StatusCode.NOT_FOUND, f"Database {database} does not exist.")

    def _over(self, method: str, result: Any) -> Any:
        self.writes.append(method)
        operation = operations_pb2.Operation(name=f"operations/{len(self.writes)}", done=True)
        operation.response.Pack(type(result).pb(result))
        return operation
