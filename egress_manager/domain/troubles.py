"""What can be wrong around us, each with what to do about it.

A trouble is found by `egress-manager check`. Its name is stable, for scripts; its words and its
remedy are for people, and have the facts of the case filled in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from egress_manager.errors import EgressManagerError


class Trouble(StrEnum):
    """Everything that a check can find wrong."""

    SETTINGS_WRONG = "settings_wrong"
    TOO_SLOW = "too_slow"
    UNEXPECTED = "unexpected"

    LIVEKIT_UNKNOWN_HOST = "livekit_unknown_host"
    LIVEKIT_REFUSES_CONNECTIONS = "livekit_refuses_connections"
    LIVEKIT_UNREACHABLE = "livekit_unreachable"
    LIVEKIT_TLS = "livekit_tls"
    LIVEKIT_SILENT = "livekit_silent"
    LIVEKIT_IS_SOMETHING_ELSE = "livekit_is_something_else"
    LIVEKIT_NOT_READY = "livekit_not_ready"
    LIVEKIT_FAILED = "livekit_failed"
    KEY_UNKNOWN = "key_unknown"
    SECRET_WRONG = "secret_wrong"
    TOKEN_NOT_OF_NOW = "token_not_of_now"
    KEY_REFUSED = "key_refused"
    CLOCKS_APART = "clocks_apart"
    DISPATCH_RULES_REFUSED = "dispatch_rules_refused"

    REDIS_AWAY = "redis_away"
    REDIS_REFUSED = "redis_refused"
    MONGO_MISSING = "mongo_missing"
    MONGO_AWAY = "mongo_away"
    MONGO_REFUSED = "mongo_refused"
    MONGO_WITHOUT_JOURNAL = "mongo_without_journal"
    MONGO_NOT_WRITTEN = "mongo_not_written"
    FOLDER_DENIED = "folder_denied"
    FOLDER_READ_ONLY = "folder_read_only"
    FOLDER_IS_A_FILE = "folder_is_a_file"
    FOLDER_FAILED = "folder_failed"
    DISK_FULL = "disk_full"
    SPACE_SHORT = "space_short"

    BUCKET_AWAY = "bucket_away"
    BUCKET_MISSING = "bucket_missing"
    BUCKET_REFUSED = "bucket_refused"
    BUCKET_FAILED = "bucket_failed"

    SERVICE_AWAY = "service_away"
    API_KEY_REFUSED = "api_key_refused"
    PARTS_ILL = "parts_ill"
    WEBHOOK_SILENT = "webhook_silent"
    WEBHOOK_REFUSED = "webhook_refused"
    WEBHOOK_ELSEWHERE = "webhook_elsewhere"
    EGRESS_WITHOUT_REDIS = "egress_without_redis"
    EGRESS_ABSENT = "egress_absent"
    EGRESS_FAILED = "egress_failed"

    CALL_NOT_PLACED = "call_not_placed"
    CALL_WITHOUT_MEDIA = "call_without_media"
    CALL_NOT_SEEN = "call_not_seen"
    CALL_NOT_RECORDED = "call_not_recorded"
    CALL_NOT_CAPTURED = "call_not_captured"
    CALL_NOT_FINISHED = "call_not_finished"
    FILE_UNREADABLE = "file_unreadable"
    SOUND_MISSING = "sound_missing"
    SOUND_ON_WRONG_SIDE = "sound_on_wrong_side"
    SOUND_NOT_ALONE = "sound_not_alone"
    LENGTH_WRONG = "length_wrong"


@dataclass(frozen=True, slots=True)
class Advice:
    """What is wrong, and what to do; both may name facts in braces. `is_warning`: it still works.

    A fact that holds the words of others is named last, so that the sentence stays one.
    """

    words: str
    remedy: str
    is_warning: bool = False


_LIVEKIT_URL: Final = "correct LIVEKIT_URL (or EGRESS_URL); it leads to {url}"
_SERVER_LOG: Final = "look into livekit-server's log"
_SERVICE_LOG: Final = "look into the service's log"
_MEDIA_PORTS: Final = (
    "open livekit-server's media ports (rtc.udp_port or the port range, and rtc.tcp_port) to this "
    "host; see that rtc.node_ip or rtc.use_external_ip gives an address that can be reached from "
    "here"
)

ADVICE: Final[Mapping[Trouble, Advice]] = {
    Trouble.SETTINGS_WRONG: Advice(
        "{why}", "correct it in .env or in the environment; docs/settings.md explains every one"
    ),
    Trouble.TOO_SLOW: Advice(
        "it took longer than {seconds:g} s",
        "look at the load of this host and at the network, and check again",
    ),
    Trouble.UNEXPECTED: Advice("{why}", "this is not foreseen: please report it"),
    Trouble.LIVEKIT_UNKNOWN_HOST: Advice("no host has the name {host}", _LIVEKIT_URL),
    Trouble.LIVEKIT_REFUSES_CONNECTIONS: Advice(
        "nobody listens at {url}",
        "start livekit-server; if it runs, correct LIVEKIT_URL (or EGRESS_URL), or have it listen "
        "where this host can reach it (bind_addresses)",
    ),
    Trouble.LIVEKIT_UNREACHABLE: Advice(
        "there is no way to {url}: {why}",
        "look at the network and the firewall between this host and livekit-server",
    ),
    Trouble.LIVEKIT_TLS: Advice(
        "the connection to {url} can't be secured: {why}",
        "have a certificate that is valid for that name, or use ws:// where there is no TLS",
    ),
    Trouble.LIVEKIT_SILENT: Advice(
        "{url} accepts connections, but does not answer",
        "look at livekit-server's host; where only packets are dropped, at the firewall",
    ),
    Trouble.LIVEKIT_IS_SOMETHING_ELSE: Advice(
        "what answers at {url} is not livekit-server (HTTP {status})", _LIVEKIT_URL
    ),
    Trouble.LIVEKIT_NOT_READY: Advice(
        "livekit-server says that it is not ready",
        _SERVER_LOG + "; with Redis, see that it reaches it",
    ),
    Trouble.LIVEKIT_FAILED: Advice("livekit-server answered: {why}", _SERVER_LOG),
    Trouble.KEY_UNKNOWN: Advice(
        "livekit-server has no API key {key}",
        "set LIVEKIT_API_KEY to a name that stands under keys in livekit.yaml, "
        "and restart livekit-server where it was added since",
    ),
    Trouble.SECRET_WRONG: Advice(
        "the secret is not that of the API key {key}",
        "set LIVEKIT_API_SECRET to what stands beside that key in livekit.yaml",
    ),
    Trouble.TOKEN_NOT_OF_NOW: Advice(
        "livekit-server finds our tokens too old or too new",
        "set the clocks of both hosts by NTP",
    ),
    Trouble.KEY_REFUSED: Advice(
        "livekit-server refuses the API key: {why}",
        "compare LIVEKIT_API_KEY and LIVEKIT_API_SECRET with keys in livekit.yaml",
    ),
    Trouble.CLOCKS_APART: Advice(
        "livekit-server's clock is {seconds:.0f} s {direction} ours",
        "set the clocks of both hosts by NTP: a minute apart, webhooks and tokens are refused",
    ),
    Trouble.DISPATCH_RULES_REFUSED: Advice(
        "the API key may not list SIP dispatch rules",
        "use a key that may, or name the fixed rooms in EGRESS_MANAGER_STANDING_ROOMS",
    ),
    Trouble.REDIS_AWAY: Advice(
        "no Redis answers at {place}: {why}", "start it, or correct REDIS_URL"
    ),
    Trouble.REDIS_REFUSED: Advice(
        "Redis refuses us: {why}", "correct the user and the password in REDIS_URL"
    ),
    Trouble.MONGO_MISSING: Advice("{why}", "do one of these, and check again"),
    Trouble.MONGO_AWAY: Advice(
        "MongoDB does not answer, or takes no writes ({why})",
        "start it, or correct MONGO_URI; of a replica set, name every member and the set",
    ),
    Trouble.MONGO_REFUSED: Advice(
        "MongoDB refuses us ({why})",
        "correct the user and the password in MONGO_URI (and its authSource), and give that user "
        "the role readWrite on {database}",
    ),
    Trouble.MONGO_WITHOUT_JOURNAL: Advice(
        "MongoDB keeps no journal: what it acknowledged is lost when it is killed",
        "run it with its journal, on a storage engine that has one (WiredTiger)",
    ),
    Trouble.MONGO_NOT_WRITTEN: Advice(
        "MongoDB did not write as it was told to ({why})",
        "look into its log; see that a majority of its members runs and that its disk has room",
    ),
    Trouble.FOLDER_DENIED: Advice(
        "{path} can't be written by the user {uid}; it belongs to {owner}:{group}, mode {mode}",
        "chown -R {uid}:{gid} {path}, or run the service as the user {owner}",
    ),
    Trouble.FOLDER_READ_ONLY: Advice(
        "{path} is on a file system that is mounted read-only",
        "mount it for writing; in a container, without :ro",
    ),
    Trouble.FOLDER_IS_A_FILE: Advice(
        "{path} can't be a directory: a file is in the way",
        "move the file, or name another directory in RECORDINGS_DIR",
    ),
    Trouble.FOLDER_FAILED: Advice(
        "{path} can't be written by the user {uid}: {why}",
        "see that the disk is well and the directory can be made",
    ),
    Trouble.DISK_FULL: Advice(
        "{path} has {free} free: enough for {hours:.0f} hours of calls",
        "make room, or name a directory on a larger disk in RECORDINGS_DIR",
    ),
    Trouble.SPACE_SHORT: Advice(
        "{path} has {free} free, {percent:.0f} % of its disk: enough for {hours:.0f} hours of "
        "calls",
        "make room soon",
        is_warning=True,
    ),
    Trouble.BUCKET_AWAY: Advice(
        "no storage answers at {place}: {why}",
        "start it, or correct EGRESS_MANAGER_S3_ENDPOINT",
    ),
    Trouble.BUCKET_MISSING: Advice(
        "there is no bucket {bucket} at {place}",
        "make it, with any S3 client, or correct EGRESS_MANAGER_S3_BUCKET",
    ),
    Trouble.BUCKET_REFUSED: Advice(
        "the storage at {place} refuses the key {key}: {why}",
        "correct EGRESS_MANAGER_S3_ACCESS_KEY, _S3_SECRET and _S3_REGION, and allow the key to "
        "read, write, list and delete in the bucket {bucket}",
    ),
    Trouble.BUCKET_FAILED: Advice(
        "the storage at {place} does not do as S3 would: {why}",
        "correct EGRESS_MANAGER_S3_ENDPOINT, or look into the storage's log",
    ),
    Trouble.SERVICE_AWAY: Advice(
        "{why}", "start the service (egress-manager serve), or name it with --url"
    ),
    Trouble.API_KEY_REFUSED: Advice("{why}", "egress-manager keys new makes another one"),
    Trouble.PARTS_ILL: Advice("the service is ill: {why}", _SERVICE_LOG),
    Trouble.WEBHOOK_SILENT: Advice(
        "a room was opened, and within {seconds:g} s no webhook told of it",
        "in livekit.yaml, let webhook.urls name {example} as livekit-server's host reaches it, and "
        "webhook.api_key a key; restart livekit-server; see that no firewall is between",
    ),
    Trouble.WEBHOOK_REFUSED: Advice(
        "livekit-server's webhook came, and the service refused it: {why}",
        "set WEBHOOK_SECRET to the secret of the key that webhook.api_key names in livekit.yaml, "
        "and WEBHOOK_KEY to its name or to nothing; restart the service",
    ),
    Trouble.WEBHOOK_ELSEWHERE: Advice(
        "webhooks came to the service, but this one is not in the database {database}",
        "check with the settings of the service: in its directory, or its container",
    ),
    Trouble.EGRESS_WITHOUT_REDIS: Advice(
        "livekit-server has no Redis, so it can't reach LiveKit Egress",
        "set redis in livekit.yaml, the same as in the egress's own configuration; or set "
        "EGRESS_MANAGER_ENGINE=builtin, which needs neither",
    ),
    Trouble.EGRESS_ABSENT: Advice(
        "no LiveKit Egress takes the job: {why}",
        "start egress, with the Redis and the API key of livekit-server; if it runs, it may have "
        "too little CPU to accept",
    ),
    Trouble.EGRESS_FAILED: Advice("LiveKit Egress did not begin: {why}", "look into egress's log"),
    Trouble.CALL_NOT_PLACED: Advice(
        "the test call did not come into its room: {why}",
        _SERVER_LOG + "; a proxy before it has to pass WebSockets",
    ),
    Trouble.CALL_WITHOUT_MEDIA: Advice(
        "the test call was in its room, but no sound could be sent", _MEDIA_PORTS
    ),
    Trouble.CALL_NOT_SEEN: Advice(
        "the service did not notice the test call within {seconds:g} s",
        "see that the service has the LIVEKIT_URL and the key of this check; " + _SERVICE_LOG,
    ),
    Trouble.CALL_NOT_RECORDED: Advice(
        "the service saw the test call and does not record it: {why}",
        "see EGRESS_MANAGER_RECORD and EGRESS_MANAGER_RECORD_ROOMS of the service",
    ),
    Trouble.CALL_NOT_CAPTURED: Advice(
        "the recorder did not get to hear the test call: {why}",
        _MEDIA_PORTS + "; " + _SERVICE_LOG,
    ),
    Trouble.CALL_NOT_FINISHED: Advice(
        "the recording {recording} of the test call did not become a file: {why}",
        "egress-manager recordings show {recording}; " + _SERVICE_LOG,
    ),
    Trouble.FILE_UNREADABLE: Advice(
        "the file of the test call can't be decoded ({why})",
        "please report it, with the recording's document",
    ),
    Trouble.SOUND_MISSING: Advice(
        "the file has {percent:.0f} % of the sound that was played: {path}",
        "listen to it; look at `lost` and `holes` of its tracks, and at the network between "
        "livekit-server and this host",
    ),
    Trouble.SOUND_ON_WRONG_SIDE: Advice(
        "the caller is heard on the right, where the others belong: {path}",
        "please report it, with the recording's document",
    ),
    Trouble.SOUND_NOT_ALONE: Advice(
        "nobody else was in the room, but the right side is not silent ({dbfs:.0f} dBFS): {path}",
        "please report it, with the recording's document",
    ),
    Trouble.LENGTH_WRONG: Advice(
        "the test call took {stay:.1f} s, its recording plays {plays:.1f} s: {path}",
        "please report it, with the recording's document",
    ),
}


class CheckFailed(EgressManagerError):
    """A check found this trouble; `facts` are what its words and its remedy name."""

    def __init__(self, trouble: Trouble, **facts: object) -> None:
        super().__init__(ADVICE[trouble].words.format(**facts))
        self.trouble = trouble
        self.remedy = ADVICE[trouble].remedy.format(**facts)
