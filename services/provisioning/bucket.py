"""A bucket of Cloud Storage, as Roteiro wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.api_core import exceptions
from google.cloud.storage import Client
from google.cloud.storage.retry import DEFAULT_RETRY

from services.googleapi import Remedies, told
from services.ports import Difference, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEME: Final = "gs://"
TIMEOUT: Final = 30.0
"""Seconds that a call may take, its repetitions included."""
CACHE_DAYS: Final = 7
"""How long an answer that was paid for is worth keeping: until a batch is run again."""
ABANDONED_DAYS: Final = 7
"""As long as Cloud Storage itself keeps its resumable uploads."""
CACHE: Final = "cache/"
"""Below the output's prefix."""
DELETE: Final = "Delete"
ABORT: Final = "AbortIncompleteMultipartUpload"
REMEDIES: Final[Remedies] = {
    "permission_denied": "looking and making need roles/storage.admin; a bucket's name may also "
    "be somebody else's already",
}


class BucketResource:
    """The bucket of the output, its cache cleared and its access uniform.

    Rules of others on the same bucket stay.

    Args:
        output: gs://bucket or gs://bucket/prefix.
        project: where it is made; empty for the credentials' own.
        location: where it is made, such as `EU` or `southamerica-east1`.
    """

    kind = "bucket"

    def __init__(self, output: str, project: str, location: str) -> None:
        self._bucket, _, prefix = output.removeprefix(SCHEME).partition("/")
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self._location = location
        self.name = SCHEME + self._bucket
        with told(self.name, REMEDIES):
            self._client = Client(project=project or None)
        retry = DEFAULT_RETRY.with_timeout(TIMEOUT)
        self._call: dict[str, Any] = {"timeout": TIMEOUT, "retry": retry}

    def look(self) -> Finding:
        """See Resource."""
        found = self._found()
        return Finding(there=False) if found is None else compared(found, self._prefix)

    def make(self, found: Finding) -> list[str]:
        """See Resource; uniform access is for its owner to turn on, since lists of objects end by it."""
        if not found.there:
            return self._create()
        mended = [difference for difference in found.differences if not difference.remedy]
        if not mended:
            return []
        rules = mended_rules(_rules(self._found() or {}), self._prefix)
        with told(self.name, REMEDIES):
            bucket = self._client.bucket(self._bucket)
            bucket.lifecycle_rules = rules
            bucket.patch(**self._call)
        return [f"{change.what}: {change.wanted}" for change in mended]

    def _create(self) -> list[str]:
        bucket = self._client.bucket(self._bucket)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.lifecycle_rules = mended_rules([], self._prefix)
        with told(self.name, REMEDIES):
            try:
                self._client.create_bucket(bucket, location=self._location, **self._call)
            except exceptions.Conflict:
                self._client.get_bucket(self._bucket, **self._call)  # whose it is, it tells
                return []
        cache = f"{self._prefix}{CACHE} is deleted after {CACHE_DAYS} days"
        abandoned = f"abandoned uploads after {ABANDONED_DAYS}"
        return [f"created in {self._location}: uniform access, {cache}, {abandoned}"]

    def _found(self) -> dict[str, Any] | None:
        """What the server tells of the bucket; None where there is none."""
        with told(self.name, REMEDIES):
            try:
                bucket = self._client.get_bucket(self._bucket, **self._call)
            except exceptions.NotFound:
                return None
        found: dict[str, Any] = bucket._properties  # noqa: SLF001 - whether it tells is not public
        return found


def compared(found: dict[str, Any], prefix: str) -> Finding:
    """A bucket beside what is wanted of it; more days than wanted are as good.

    Args:
        found: as the server tells it, in JSON's names.
        prefix: of the output in it; empty, or with its slash.
    """
    place = f"in {found.get('location', 'an unknown place')}"
    access = found.get("iamConfiguration")
    if access is None:  # Google always tells; an emulator that does not has no rules either
        return Finding(there=True, notes=(f"{place}; access and rules: not told by this server",))
    differences = list(_missing_rules(_rules(found), prefix))
    if not access.get("uniformBucketLevelAccess", {}).get("enabled"):
        name = found.get("name", "")
        differences.append(
            Difference(
                "uniform access",
                "on",
                "off",
                "objects' own access lists end with it; where nobody needs them: gcloud storage "
                f"buckets update {SCHEME}{name} --uniform-bucket-level-access",
            )
        )
    return Finding(there=True, differences=tuple(differences), notes=(place,))


def mended_rules(rules: Sequence[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    """The rules of a bucket, with those that Roteiro wants among them; the others stay."""
    mended = list(rules)
    for action, place, days in _wanted(prefix):
        if _days_until(mended, action, place) < days:
            mended = [rule for rule in mended if not _does(rule, action, place)]
            condition: dict[str, Any] = {"age": days}
            if place:
                condition["matchesPrefix"] = [place]
            mended.append({"action": {"type": action}, "condition": condition})
    return mended


def _wanted(prefix: str) -> Iterator[tuple[str, str, int]]:
    """Action, the prefix of what it is for, and the days until then."""
    yield DELETE, prefix + CACHE, CACHE_DAYS
    yield ABORT, prefix, ABANDONED_DAYS


def _missing_rules(rules: Sequence[dict[str, Any]], prefix: str) -> Iterator[Difference]:
    for action, place, days in _wanted(prefix):
        until = _days_until(rules, action, place)
        if until < days:
            what = f"{place} deleted" if action == DELETE else "abandoned uploads deleted"
            found = "never" if until < 0 else f"after {until} days"
            yield Difference(what, f"after {days} days", found)


def _does(rule: dict[str, Any], action: str, place: str) -> bool:
    """Whether a rule does this there by age alone, whatever the age."""
    condition = rule.get("condition", {})
    places = condition.get("matchesPrefix", [])
    alone = condition.keys() <= {"age", "matchesPrefix"} and "age" in condition
    return (
        alone
        and rule.get("action", {}).get("type") == action
        and (places == [place] or (not place and not places))
    )


def _days_until(rules: Sequence[dict[str, Any]], action: str, place: str) -> int:
    """Days of the rule that comes first; -1 where there is none."""
    ages = (int(rule["condition"]["age"]) for rule in rules if _does(rule, action, place))
    return min(ages, default=-1)


def _rules(found: dict[str, Any]) -> list[dict[str, Any]]:
    return list(found.get("lifecycle", {}).get("rule", []))
