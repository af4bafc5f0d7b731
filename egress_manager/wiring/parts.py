"""Parts of the wiring that the service and the commands beside it share."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from egress_manager.adapters import livekit_tokens, mongo_client, mongo_schema
from egress_manager.adapters.given_key import GivenKey
from egress_manager.adapters.livekit_identity import LiveKitIdentityProof
from egress_manager.adapters.local_files import LocalFiles
from egress_manager.adapters.local_place import LocalDirectoryMark
from egress_manager.adapters.local_signing_key import (
    DEFAULT,
    LocalSigningKey,
    known_signing_key,
    signing_key,
)
from egress_manager.adapters.mongo_client import Database
from egress_manager.adapters.mongo_codes import Codes
from egress_manager.adapters.mongo_identity import MongoIdentities
from egress_manager.adapters.mongo_keys import MongoKeys
from egress_manager.adapters.mongo_process import FOLDER, NOT_FOUND, find_mongod, open_mongo
from egress_manager.adapters.obstore_bucket import ObstoreBucket
from egress_manager.adapters.obstore_files import ObstoreFiles
from egress_manager.domain.buckets import Bucket
from egress_manager.domain.policy import Policy
from egress_manager.errors import SettingsWrong, StoreUnavailable
from egress_manager.flows.doors import House
from egress_manager.flows.sharing.adoption import Marks
from egress_manager.ports import Keys
from egress_manager.settings import Settings


def check_settings(settings: Settings) -> None:
    """Raises `SettingsWrong` where MongoDB is neither configured nor to be had."""
    if not settings.mongo_uri and find_mongod() is None:
        raise SettingsWrong(NOT_FOUND)


def files_of(settings: Settings) -> tuple[LocalFiles, ObstoreBucket | None]:
    """Where recordings lie: the directory, and a bucket where there is one."""
    directory, bucket = settings.recordings_dir.absolute(), bucket_of(settings)
    objects = ObstoreBucket(bucket) if bucket else None
    return ObstoreFiles(directory, objects) if objects else LocalFiles(directory), objects


def house_of(settings: Settings) -> House:
    """What the settings say about recordings."""
    return House(
        policy=Policy(
            settings.record, settings.record_rooms, settings.engine, settings.other_engine_rooms
        ),
        naming=settings.naming,
        mix_format=settings.mix_format,
        include_other_callers=settings.include_other_callers,
        falls_back=settings.falls_back,
        egress_dir=egress_dir(settings),
    )


def egress_dir(settings: Settings) -> str:
    """The recordings directory as LiveKit Egress sees it."""
    return settings.egress_recordings_dir or str(settings.recordings_dir.absolute())


def signing_key_of(settings: Settings) -> LocalSigningKey:
    """What signs; it is made where it is not there. Raises `SettingsWrong`."""
    return signing_key(_signing_key_path(settings))


def known_signing_key_of(settings: Settings) -> LocalSigningKey | None:
    """The same for who changes nothing; None where there is no key."""
    return known_signing_key(_signing_key_path(settings))


def _signing_key_path(settings: Settings) -> Path:
    return (settings.signing_key or settings.recordings_dir / DEFAULT).expanduser().absolute()


def key_of(settings: Settings) -> tuple[str, str]:
    """LiveKit's API key and its secret."""
    return settings.livekit_api_key, settings.livekit_api_secret.get_secret_value()


def bucket_of(settings: Settings) -> Bucket | None:
    """The bucket, where there is one."""
    if not settings.s3_bucket:
        return None
    return Bucket(
        settings.s3_bucket,
        settings.s3_region,
        settings.s3_endpoint,
        settings.s3_access_key,
        settings.s3_secret.get_secret_value(),
    )


async def prepare(database: Database) -> None:
    """Indexes and migrations. Raises `StoreUnavailable`."""
    await mongo_schema.migrate(database)


def marks_of(settings: Settings, database: Database) -> Marks:
    """What says whether this database, LiveKit and recordings directory belong together."""
    return Marks(
        f"{database.name} (MONGO_DB)",
        MongoIdentities(database),
        LocalDirectoryMark(settings.recordings_dir.absolute()),
        LiveKitIdentityProof(settings.livekit_http_url, *key_of(settings)),
    )


def codes_of(signer: LocalSigningKey | None) -> Codes:
    """The codes that follow from the signing key."""
    return Codes(signer.document_keys, signer.made_at) if signer else Codes()


def keys_of(settings: Settings, database: Database, codes: Codes) -> Keys:
    """The API's key: the one of the settings, else the one that is kept."""
    given = settings.api_key.get_secret_value()
    return GivenKey(given) if given else MongoKeys(database, codes)


def recorder_token(key: str, secret: str, room_name: str, ttl_seconds: int) -> str:
    """The token of the user's document, for the Egress API, of an API key and its secret."""
    return livekit_tokens.recorder_token(key, secret, room_name, ttl_seconds)


def webhook_signature(settings: Settings) -> Callable[[bytes], str]:
    """Signs webhooks as livekit-server would that the service of these settings listens to."""
    key = settings.webhook_key or settings.livekit_api_key
    return partial(livekit_tokens.webhook_token, key, settings.webhook_signing_secret)


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database, for the command line; shares the mongod of a service that runs.

    An error of it says where it was looked for.
    """
    async with open_mongo(settings.mongo_uri, settings.recordings_dir.absolute() / FOLDER) as uri:
        client = mongo_client.connect(uri)
        try:
            yield mongo_client.database(client, settings.mongo_db)
        except StoreUnavailable as error:
            hosts = mongo_client.hosts_of(uri)
            where = f"MONGO_URI names {hosts}" if settings.mongo_uri else "it is one of our own"
            raise StoreUnavailable(f"{error}; {where}") from error
        finally:
            await mongo_client.close(client)
