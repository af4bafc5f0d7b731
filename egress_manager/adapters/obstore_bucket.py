"""The objects of one bucket of S3-compatible storage (`Objects` of the API).

An object is read in parts, each by a request with a time-out of its own: so memory is bounded, and
a listener who takes long holds no connection open.
"""

import asyncio
import html
import logging
import re
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from egress_manager.domain.buckets import Bucket, Stored
from egress_manager.errors import StorageFailed

if TYPE_CHECKING:
    from obstore.store import S3Credential

log = logging.getLogger(__name__)

#: A request, with its body, and connecting may take so long. Seconds.
TIMEOUT: Final = 15.0
CONNECT_TIMEOUT: Final = 3.0
#: A request that failed is made again so often.
RETRIES: Final = 2
#: So many objects are looked for at once.
LOOKS: Final = 16
#: After a look that failed nobody looks for this long: all would wait as long as the first.
LOOK_AGAIN: Final = 2.0
#: So much is read in one request. Bytes.
PART: Final = 2**20

#: What obstore raises, some of it as Python's own.
_THEIRS: Final = (BaseError, OSError, ValueError)
#: S3's words for an object that is not there, and for one that is empty.
_NOTHING: Final = ("NoSuchKey", "InvalidRange")
#: What S3 says of a request that it does not do.
_SAID: Final = re.compile(r"<Code>(.*?)</Code>\s*<Message>(.*?)</Message>", re.DOTALL)


def opened(bucket: Bucket) -> S3Store:
    """A client of the bucket; whatever AWS_ variables say, it has the key that is given."""

    def credential() -> "S3Credential":
        return {
            "access_key_id": bucket.access_key,
            "secret_access_key": bucket.secret,
            "token": None,
            "expires_at": None,
        }

    return S3Store(
        bucket.name,
        region=bucket.region,
        endpoint=bucket.endpoint or f"https://s3.{bucket.region}.amazonaws.com",
        virtual_hosted_style_request=False,
        skip_signature=False,
        credential_provider=credential,
        client_options={
            "allow_http": bucket.endpoint.startswith("http://"),
            "timeout": timedelta(seconds=TIMEOUT),
            "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT),
        },
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=TIMEOUT)},
    )


class ObstoreBucket:
    """Looks for objects, and reads them."""

    def __init__(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self._store = opened(bucket)
        self._looking = asyncio.Semaphore(LOOKS)
        self._failed_at = -LOOK_AGAIN

    async def about(self, address: str) -> Stored | None:
        key = self.bucket.key(address)
        if key is None:
            return None
        async with self._looking:
            if time.monotonic() - self._failed_at < LOOK_AGAIN:
                raise StorageFailed(f"the bucket {self.bucket.name} did not answer just now")
            return await self._look(key)

    async def read(self, stored: Stored, start: int, stop: int) -> AsyncIterator[bytes]:
        for at in range(start, stop, PART):
            yield await self._part(stored, at, min(at + PART, stop))

    async def _look(self, key: str) -> Stored | None:
        """Ask for the first byte: of a HEAD, S3 does not say whether it is the bucket or the key.

        Nothing else is a file that is missing.
        """
        try:
            result = await obstore.get_async(self._store, key, options={"range": (0, 1)})
            await result.bytes_async()
        except _THEIRS as error:
            if words_of(error).startswith(_NOTHING):
                return None
            self._failed_at = time.monotonic()
            failure = self._failure(error)
            log.warning("bucket_failed", extra={"why": str(failure)})
            raise failure from error
        told = result.meta
        return Stored(key, told["size"], told["e_tag"] or "", told["last_modified"])

    async def _part(self, stored: Stored, start: int, stop: int) -> bytes:
        """Some of an object as it was when it was looked for."""
        try:
            result = await obstore.get_async(
                self._store,
                stored.key,
                options={"range": (start, stop), "if_match": stored.etag or None},
            )
            return bytes(await result.bytes_async())
        except _THEIRS as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StorageFailed:
        return StorageFailed(f"the bucket {self.bucket.name} can't be read: {words_of(error)}")


def words_of(error: Exception) -> str:
    """What the storage says of itself, else what happened on the way to it; no more than a line."""
    text = str(error)
    if said := _SAID.search(text):
        return html.unescape(f"{said[1]}: {said[2]}")
    return text.partition("\n")[0].rpartition(" - ")[2].strip(" :")
