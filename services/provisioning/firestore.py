"""A database of Firestore, its indexes and the fields it need not index, as Roteiro wants them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.api_core import exceptions
from google.cloud.firestore_admin_v1.services.firestore_admin import FirestoreAdminClient
from google.cloud.firestore_admin_v1.services.firestore_admin.transports import (
    FirestoreAdminGrpcTransport,
)
from google.cloud.firestore_admin_v1.types import Database, Field, Index
from google.protobuf import field_mask_pb2

from services.googleapi import RETRY, told
from services.ports import Difference, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.googleapi import Remedies
    from services.ports import Resource

TIMEOUT: Final = 30.0
"""Seconds that a call may take, its repetitions included."""
CREATION: Final = 300.0
"""Seconds that a new database may take; it is a minute or two."""
DEFINITION: Final = Path(__file__).with_name("firestore.indexes.json")
"""In the format of the Firebase CLI, which can deploy it as well."""
ARROWS: Final = {"ASCENDING": "↑", "DESCENDING": "↓"}
# Enumerations of proto-plus; mypy takes their members for numbers.
NATIVE: Final[Any] = Database.DatabaseType.FIRESTORE_NATIVE
SCOPES: Final[Any] = Index.QueryScope
ORDERS: Final[Any] = Index.IndexField.Order
REGIONS: Final = {"us": "nam5", "eu": "eur3"}
"""What Firestore calls the places of several regions; Cloud Storage says US and EU.
Source: https://firebase.google.com/docs/firestore/locations"""
BEGUN: Final = "Firestore is at it, for some minutes"


class FirestoreAdmin:
    """What administers a database.

    Args:
        project: of Google Cloud.
        database: in the project.
        location: where it is made: a region, `US` or `EU`.
        endpoint: host:port of a server to use instead of Google's, without
            encryption or credentials.
    """

    def __init__(self, project: str, database: str, location: str, endpoint: str = "") -> None:
        self.project = project
        self.database = database
        self.location = REGIONS.get(location.lower(), location.lower())
        self.path = f"projects/{project}/databases/{database}"
        self.call: dict[str, Any] = {"timeout": TIMEOUT, "retry": RETRY.with_timeout(TIMEOUT)}
        self.remedies: Remedies = {
            "permission_denied": "looking and making need roles/datastore.indexAdmin, making a "
            "database roles/datastore.owner",
            "not_found": "make the database first, or correct its name",
        }
        with told(self.path, self.remedies):
            self.client = _connect(endpoint)

    def group(self, collection: str) -> str:
        """The path of all collections of a name."""
        return f"{self.path}/collectionGroups/{collection}"


def _connect(endpoint: str) -> FirestoreAdminClient:
    if not endpoint:
        return FirestoreAdminClient()
    channel = grpc.insecure_channel(endpoint)
    return FirestoreAdminClient(transport=FirestoreAdminGrpcTransport(channel=channel))


def firestore_resources(admin: FirestoreAdmin) -> list[Resource]:
    """The database, and what `firestore.indexes.json` says of it."""
    wanted = json.loads(DEFINITION.read_text("utf-8"))
    resources: list[Resource] = [DatabaseResource(admin)]
    resources += (IndexResource(admin, index) for index in wanted["indexes"])
    resources += (FieldResource(admin, field) for field in wanted["fieldOverrides"])
    return resources


class DatabaseResource:
    """A database in native mode; the other mode, and its place, are for good."""

    kind = "database"

    def __init__(self, admin: FirestoreAdmin) -> None:
        self.name = admin.path
        self._admin = admin

    def look(self) -> Finding:
        """See Resource."""
        admin = self._admin
        with told(self.name, admin.remedies):
            try:
                found = admin.client.get_database(name=admin.path, **admin.call)
            except exceptions.NotFound:
                return Finding(there=False)
        differences: list[Difference] = []
        if found.type_ != NATIVE:
            kind = Database.DatabaseType(found.type_).name
            remedy = "name another database: firestore://project/database"
            differences.append(Difference("mode", NATIVE.name, kind, remedy))
        return Finding(
            there=True, differences=tuple(differences), notes=(f"in {found.location_id}",)
        )

    def make(self, found: Finding) -> list[str]:
        """See Resource; it takes a minute or two."""
        if found.there:
            return []
        admin = self._admin
        wanted = Database(location_id=admin.location, type_=NATIVE)
        with told(self.name, admin.remedies):
            try:
                admin.client.create_database(
                    parent=f"projects/{admin.project}",
                    database=wanted,
                    database_id=admin.database,
                    **admin.call,
                ).result(timeout=CREATION)
            except exceptions.AlreadyExists:
                return []
        return [f"created in {wanted.location_id}, in native mode"]


class IndexResource:
    """A composite index.

    Args:
        admin: of its database.
        wanted: an entry of `indexes`.
    """

    kind = "index"

    def __init__(self, admin: FirestoreAdmin, wanted: dict[str, Any]) -> None:
        self._admin = admin
        self._group = admin.group(wanted["collectionGroup"])
        self._scope = SCOPES[wanted["queryScope"]]
        self._fields = [(field["fieldPath"], field["order"]) for field in wanted["fields"]]
        fields = ", ".join(f"{path} {ARROWS[order]}" for path, order in self._fields)
        self.name = f"{wanted['collectionGroup']}: {fields}"

    def look(self) -> Finding:
        """See Resource."""
        admin = self._admin
        with told(self.name, admin.remedies):
            try:
                indexes = list(admin.client.list_indexes(parent=self._group, **admin.call))
            except exceptions.NotFound:
                return Finding(there=False)
        found = next(filter(self._is_meant, indexes), None)
        if found is None:
            return Finding(there=False)
        if found.state == Index.State.NEEDS_REPAIR:
            broken = Difference("state", "ready", "needs repair", "delete it, and run this again")
            return Finding(there=True, differences=(broken,))
        building = found.state == Index.State.CREATING
        return Finding(there=True, notes=(BEGUN,) if building else ())

    def make(self, found: Finding) -> list[str]:
        """See Resource; it is being built when this returns."""
        if found.there:
            return []
        admin = self._admin
        fields = [
            Index.IndexField(field_path=path, order=ORDERS[name]) for path, name in self._fields
        ]
        with told(self.name, admin.remedies):
            try:
                admin.client.create_index(
                    parent=self._group,
                    index=Index(query_scope=self._scope, fields=fields),
                    **admin.call,
                )
            except exceptions.AlreadyExists:
                return []
        return [f"created; {BEGUN}"]

    def _is_meant(self, index: Index) -> bool:
        fields = [
            (field.field_path, ORDERS(field.order).name)
            for field in index.fields
            if field.field_path != "__name__"  # the service ends every index with it
        ]
        return index.query_scope == self._scope and fields == self._fields


class FieldResource:
    """A field that is exempt from indexes, or by which documents expire.

    Args:
        admin: of its database.
        wanted: an entry of `fieldOverrides`, without indexes.
    """

    def __init__(self, admin: FirestoreAdmin, wanted: dict[str, Any]) -> None:
        self._admin = admin
        self._ttl = bool(wanted.get("ttl"))
        self._path = f"{admin.group(wanted['collectionGroup'])}/fields/{wanted['fieldPath']}"
        self.kind = "expiry" if self._ttl else "exemption"
        self.name = f"{wanted['collectionGroup']}: {wanted['fieldPath']}"

    def look(self) -> Finding:
        """See Resource."""
        admin = self._admin
        with told(self.name, admin.remedies):
            try:
                found = admin.client.get_field(name=self._path, **admin.call)
            except exceptions.NotFound:
                return Finding(there=False)
        return self._compared(found)

    def make(self, found: Finding) -> list[str]:
        """See Resource; Firestore drops what it has indexed when this has returned."""
        if found.there and not found.differences:
            return []
        admin = self._admin
        field = Field(name=self._path, index_config=Field.IndexConfig())
        paths = ["index_config"]
        if self._ttl:
            field.ttl_config = Field.TtlConfig()
            paths.append("ttl_config")
        with told(self.name, admin.remedies):
            admin.client.update_field(
                request={"field": field, "update_mask": field_mask_pb2.FieldMask(paths=paths)},
                **admin.call,
            )
        return [f"{'expiry' if self._ttl else 'exemption'} set; {BEGUN}"]

    def _compared(self, found: Field) -> Finding:
        config = found.index_config
        differences: list[Difference] = []
        if config.uses_ancestor_config:
            if not self._ttl or "ttl_config" not in found:
                return Finding(there=False)  # the field has nothing of its own
            differences.append(Difference("indexes", "none", "as any field"))
        elif config.indexes:
            differences.append(Difference("indexes", "none", _told(config.indexes)))
        if self._ttl and "ttl_config" not in found:
            differences.append(Difference("documents expire by it", "yes", "no"))
        return Finding(there=True, differences=tuple(differences))


def _told(indexes: Sequence[Index]) -> str:
    return f"{len(indexes)} of its own"


class Emulated:
    """Stands for what an emulator does not have."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name

    def look(self) -> Finding:
        """See Resource."""
        return Finding(there=False, applies=False, notes=("not applicable on an emulator",))

    def make(self, found: Finding) -> list[str]:  # noqa: ARG002 - of the port
        """See Resource; nothing."""
        return []
