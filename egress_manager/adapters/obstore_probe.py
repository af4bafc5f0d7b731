"""The bucket, written to as LiveKit Egress does and read as we do (`Storage` of the checks)."""

import secrets
from typing import Final

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from egress_manager.adapters.obstore_bucket import opened, words_of
from egress_manager.domain.buckets import AMAZON, Bucket
from egress_manager.domain.checks import ROOM_PREFIX
from egress_manager.domain.troubles import CheckFailed, Trouble

#: What obstore says where there was no answer at all.
_NO_ANSWER: Final = "HTTP error"
_NO_BUCKET: Final = "NoSuchBucket"
#: Codes that mean the key, with whatever status they come.
_REFUSALS: Final = (
    "AccessDenied",
    "AuthorizationHeaderMalformed",
    "InvalidAccessKeyId",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",
)


class ObstoreProbe:
    """One object, for one question."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    async def write(self) -> str:
        store = opened(self._bucket)
        key, content = ROOM_PREFIX + secrets.token_hex(6), secrets.token_bytes(16)
        try:
            await obstore.put_async(store, key, content)
            try:
                result = await obstore.get_async(store, key)
                read = bytes(await result.bytes_async())
            finally:
                await obstore.delete_async(store, key)
        except (BaseError, OSError, ValueError) as error:
            raise self._failed(_trouble(error), words_of(error)) from error
        if read != content:
            raise self._failed(
                Trouble.BUCKET_FAILED, "what was written came back as something else"
            )
        return self._bucket.address("")

    def _failed(self, trouble: Trouble, why: str) -> CheckFailed:
        bucket = self._bucket
        place = bucket.endpoint or AMAZON
        return CheckFailed(trouble, place=place, bucket=bucket.name, key=bucket.access_key, why=why)


def _trouble(error: Exception) -> Trouble:
    words = words_of(error)
    if words.startswith(_NO_ANSWER):
        return Trouble.BUCKET_AWAY
    if words.startswith(_NO_BUCKET):
        return Trouble.BUCKET_MISSING
    is_refused = isinstance(error, (PermissionDeniedError, UnauthenticatedError))
    if is_refused or words.startswith(_REFUSALS):
        return Trouble.BUCKET_REFUSED
    return Trouble.BUCKET_FAILED
