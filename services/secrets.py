"""Secrets: read by name from Secret Manager, in the process that needs them."""

from __future__ import annotations

from typing import Final

from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from services.errors import Refused
from services.googleapi import RETRY, TIMEOUT, Remedies, told

REMEDIES: Final[Remedies] = {
    "not_found": "add the secret and a version, or correct its name",
    "permission_denied": "the account needs roles/secretmanager.secretAccessor on it",
}


def secret(name: str, client: SecretManagerServiceClient | None = None) -> str:
    """What a version of a secret holds, without the white space around it.

    Args:
        name: projects/<project>/secrets/<secret>/versions/<version>.
        client: to be asked; by default one with Application Default Credentials.

    Raises:
        ServiceError: naming the secret and what to do; never what it holds.
    """
    with told(name, REMEDIES):
        client = client or SecretManagerServiceClient()
        answer = client.access_secret_version(name=name, timeout=TIMEOUT, retry=RETRY)
    try:
        return str(answer.payload.data.decode()).strip()
    except UnicodeDecodeError:
        raise Refused(f"{name} holds no text", code="invalid_argument") from None
