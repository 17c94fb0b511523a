"""Secrets, from a server that speaks Secret Manager's protocol to Google's client."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.cloud.secretmanager_v1 import SecretManagerServiceClient
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
    SecretManagerServiceGrpcTransport,
)
from google.cloud.secretmanager_v1.types import (
    AccessSecretVersionRequest,
    AccessSecretVersionResponse,
)

from services.access import GeminiAccess
from services.errors import Refused
from services.secrets import secret

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "projects/test/secrets/{}/versions/latest"
HELD = {NAME.format("key"): b" AIza-1\n", NAME.format("binary"): b"\xff"}
METHOD = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"


class Held(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Secret Manager, holding HELD."""

    def service(self, details: Any) -> Any:
        if details.method != METHOD:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=AccessSecretVersionRequest.deserialize,
            response_serializer=AccessSecretVersionResponse.serialize,
        )

    def _answer(self, request: AccessSecretVersionRequest, context: Any) -> Any:
        if request.name not in HELD:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such secret")
        return AccessSecretVersionResponse(name=request.name, payload={"data": HELD[request.name]})


@pytest.fixture
def client() -> Iterator[SecretManagerServiceClient]:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((Held(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield SecretManagerServiceClient(
            transport=SecretManagerServiceGrpcTransport(channel=channel)
        )
    server.stop(None).wait()


def test_a_key_is_read_by_name(client: SecretManagerServiceClient) -> None:
    """White space around it, such as a last line's end, is no part of it."""
    name = NAME.format("key")
    access = GeminiAccess.with_key(secret(name, client), name)
    assert access.api_key == "AIza-1"
    assert "AIza" not in repr(access)


def test_what_is_no_key_is_told_by_its_name(client: SecretManagerServiceClient) -> None:
    """The error names the secret and what to do, and shows nothing of what it holds."""
    with pytest.raises(Refused, match=r"other/versions/latest: .*; add the secret"):
        secret(NAME.format("other"), client)
    with pytest.raises(Refused, match="holds no text"):
        secret(NAME.format("binary"), client)
    with pytest.raises(Refused, match="holds no API key") as caught:
        GeminiAccess.with_key("not a key", NAME.format("key"))
    assert "not a key" not in str(caught.value)
