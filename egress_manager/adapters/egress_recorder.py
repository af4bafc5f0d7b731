"""LiveKit Egress, ordered to over LiveKit's API (port `Recorder`).

An order is one request that LiveKit answers when a recorder has accepted it: after half a second
as a rule, after 27 s with an error when there is none. So it runs on its own, and what became of it
is told to the listener, as a webhook would. The client waits longer than the server tries: who
gives up first does not know whether a job has begun.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from livekit.api.twirp_client import ServerError, TwirpClient
from livekit.protocol import egress, models

from egress_manager.adapters.livekit_api import ours
from egress_manager.adapters.livekit_egress import report_of
from egress_manager.domain.buckets import Bucket
from egress_manager.domain.incoming import EgressKind, EgressReported, News, Room
from egress_manager.domain.policy import Engine
from egress_manager.domain.presence import RoomView
from egress_manager.errors import EgressManagerError, LiveKitUnavailable
from egress_manager.ports import Listener, Order

log = logging.getLogger(__name__)

#: Longer than livekit-server itself tries. Seconds.
ORDER_TIMEOUT: Final = 60.0
#: How long the other questions may take. Seconds.
TIMEOUT: Final = 15.0
#: News that the listener could not take are told again, so often and after so long (seconds).
TELLINGS: Final = 60
TELL_AGAIN: Final = 1.0
#: How long requests that are on their way may take when the service ends. Seconds.
LAST_WORDS: Final = 2.0

#: Twirp codes by which an older server says that it has no unified StartEgress (livekit.md 2.3).
_UNKNOWN_METHOD: Final = frozenset({"bad_route", "unimplemented"})

_FILE_TYPES: Final = {
    "mp4": egress.EncodedFileType.MP4,
    "ogg": egress.EncodedFileType.OGG,
}


@dataclass(frozen=True, slots=True)
class Output:
    """Where LiveKit Egress puts files: below a directory, as it sees it, or into a bucket.

    `is_one_sided`: the way of the user's document, a video file of the caller alone.
    """

    directory: str
    bucket: Bucket | None = None
    is_one_sided: bool = False


class EgressRecorder:
    """Has LiveKit Egress do the jobs; open it in the event loop it is used in.

    `token(room_name)` makes the token of a request, just before it is sent.
    """

    engine: Final = Engine.EGRESS

    def __init__(self, url: str, token: Callable[[str], str], output: Output) -> None:
        self._url = url
        self._token = token
        self._output = output
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        #: None until the server has shown whether it has the unified request.
        self._has_unified: bool | None = None
        self.listener: Listener | None = None
        self.refusals = 0
        self.trouble = ""

    async def attend(self, room_name: str, participant_sid: str = "") -> None:
        """Nothing to do: it is ordered to."""

    async def leave_alone(self, room_name: str, participant_sid: str) -> None:
        """Nothing to do: it was not ordered to."""

    async def keep(self, room_name: str, recording_id: str) -> str | None:
        """Nothing to do: it is ordered to."""
        return None

    async def let_go(self, room_name: str, recording_id: str) -> None:
        """Nothing to do: its jobs are stopped, or end by themselves."""

    def kept_for(self, room_name: str) -> Collection[str]:
        """None: it is ordered to."""
        return ()

    async def stand(self, room_name: str) -> None:
        """Nothing to do: LiveKit Egress does not wait in rooms."""

    def view(self, room_name: str) -> RoomView | None:
        """None: jobs do not say who is there."""
        return None

    def attends(self, room_name: str) -> bool:
        """Never: its jobs are in the room, it is not."""
        return False

    async def order(self, order: Order) -> None:
        """Have a job done; what becomes of it is told to the listener."""
        self._soon(self._have_done(order))

    async def stop(self, egress_id: str) -> None:
        """Have a job end; that it has ended already is as good."""
        self._soon(self._have_ended(egress_id))

    async def jobs(self, room_name: str | None = None) -> Sequence[EgressReported]:
        """How jobs are doing. Raises `LiveKitUnavailable`, `LiveKitRefused`."""
        request = egress.ListEgressRequest(room_name=room_name or "")
        listed = await self._ask("ListEgress", request, egress.ListEgressResponse, room_name or "")
        now = datetime.now(UTC)
        return [report_of(info, now) for info in listed.items]

    async def check(self) -> str:
        """How it is, in a few words. Raises `LiveKitUnavailable` while orders are refused."""
        if self.trouble:
            raise LiveKitUnavailable(f"{self.trouble}; {self.refusals} orders refused so far")
        return f"{self.refusals} orders refused"

    async def aclose(self) -> None:
        """Let requests that are on their way arrive; what they led to is found again by asking."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        for task in list(self._tasks):
            task.cancel()
        if self._session is not None:
            await self._session.close()

    def _soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _have_done(self, order: Order) -> None:
        try:
            info = await self._start(order)
        except TimeoutError:
            log.warning("order_unanswered", extra={"path": order.path})
            return  # it may have begun: LiveKit is asked later
        except EgressManagerError as error:
            self.refusals, self.trouble = self.refusals + 1, str(error)
            about_it = {"path": order.path, "why": error.code, "detail": str(error)}
            log.warning("order_refused", extra=about_it)
            await self._tell(self._refused(order, error))
            return
        self.trouble = ""
        await self._tell(report_of(info, datetime.now(UTC)))

    async def _start(self, order: Order) -> egress.EgressInfo:
        if order.track_sid:
            return await self._request("StartTrackEgress", self._track_request(order), order)
        if self._output.is_one_sided and order.identity:
            request = self._participant_request(order)
            return await self._request("StartParticipantEgress", request, order)
        if self._has_unified is not False:
            try:
                info = await self._request("StartEgress", self._unified_request(order), order)
            except LiveKitUnavailable:
                raise
            except EgressManagerError as error:
                if getattr(error.__cause__, "code", "") not in _UNKNOWN_METHOD:
                    raise
                log.info("no_unified_egress", extra={"instead": "room composite, agents left"})
                self._has_unified = False
            else:
                self._has_unified = True
                return info
        return await self._request("StartRoomCompositeEgress", self._room_request(order), order)

    async def _request(self, method: str, request: Any, order: Order) -> egress.EgressInfo:
        info: egress.EgressInfo = await self._ask(
            method, request, egress.EgressInfo, order.room_name, timeout=ORDER_TIMEOUT
        )
        return info

    def _unified_request(self, order: Order) -> egress.StartEgressRequest:
        """Caller left, everybody else right: the first route that matches counts.

        Where nobody's side is the left one, everybody is on both.
        """
        left, right, both = (
            egress.AudioChannel.AUDIO_CHANNEL_LEFT,
            egress.AudioChannel.AUDIO_CHANNEL_RIGHT,
            egress.AudioChannel.AUDIO_CHANNEL_BOTH,
        )
        others = right if order.identity else both
        kinds = [
            kind
            for kind in sorted(models.ParticipantInfo.Kind.keys())
            if kind != "EGRESS" and (order.hears_other_callers or kind != "SIP")
        ]
        routes = [egress.AudioRoute(participant_kind=kind, channel=others) for kind in kinds]
        if order.identity:
            caller = egress.AudioRoute(participant_identity=order.identity, channel=left)
            routes.insert(0, caller)
        file = egress.FileOutput(
            file_type=_file_type(order), filepath=self._path(order), disable_manifest=True
        )
        request = egress.StartEgressRequest(
            room_name=order.room_name,
            media=egress.MediaSource(audio=egress.AudioConfig(routes=routes)),
            outputs=[egress.Output(file=file)],
        )
        if self._output.bucket:
            request.storage.s3.CopyFrom(_s3(self._output.bucket))
        return request

    def _room_request(self, order: Order) -> egress.RoomCompositeEgressRequest:
        """Of the older requests the one with two sides; a layout would start a browser."""
        return egress.RoomCompositeEgressRequest(
            room_name=order.room_name,
            audio_only=True,
            audio_mixing=egress.AudioMixing.DUAL_CHANNEL_AGENT,
            file_outputs=[self._file(order)],
        )

    def _participant_request(self, order: Order) -> egress.ParticipantEgressRequest:
        return egress.ParticipantEgressRequest(
            room_name=order.room_name, identity=order.identity, file_outputs=[self._file(order)]
        )

    def _track_request(self, order: Order) -> egress.TrackEgressRequest:
        file = egress.DirectFileOutput(filepath=self._path(order), disable_manifest=True)
        if self._output.bucket:
            file.s3.CopyFrom(_s3(self._output.bucket))
        return egress.TrackEgressRequest(
            room_name=order.room_name, track_id=order.track_sid, file=file
        )

    def _file(self, order: Order) -> egress.EncodedFileOutput:
        file = egress.EncodedFileOutput(
            file_type=_file_type(order), filepath=self._path(order), disable_manifest=True
        )
        if self._output.bucket:
            file.s3.CopyFrom(_s3(self._output.bucket))
        return file

    def _path(self, order: Order) -> str:
        """The path as LiveKit Egress sees it; in a bucket it is the key."""
        if self._output.bucket:
            return order.path
        return f"{self._output.directory.rstrip('/')}/{order.path}"

    def _refused(self, order: Order, error: EgressManagerError) -> EgressReported:
        """As LiveKit would have told it, had there been a job."""
        return EgressReported(
            datetime.now(UTC),
            Room(order.room_name),
            "",
            "FAILED",
            kind=EgressKind.TRACK if order.track_sid else EgressKind.MIX,
            track_sid=order.track_sid,
            asked_path=self._path(order),
            error=str(error),
            error_code=getattr(error.__cause__, "status", 0),
        )

    async def _have_ended(self, egress_id: str) -> None:
        request = egress.StopEgressRequest(egress_id=egress_id)
        try:
            info = await self._ask("StopEgress", request, egress.EgressInfo, "")
        except (EgressManagerError, TimeoutError) as error:
            log.info("stop_unanswered", extra={"egress_id": egress_id, "detail": str(error)})
            return  # it has ended, or is asked after later
        await self._tell(report_of(info, datetime.now(UTC)))

    async def _ask(
        self, method: str, request: Any, response: type[Any], room: str, timeout: float = TIMEOUT
    ) -> Any:
        """One request. Raises `LiveKitUnavailable`, `LiveKitRefused`, `TimeoutError`."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),  # an order may take half a minute
                timeout=aiohttp.ClientTimeout(ORDER_TIMEOUT),
            )
        client = TwirpClient(self._session, self._url, "livekit")
        headers = {"authorization": f"Bearer {self._token(room)}"}
        try:
            async with asyncio.timeout(timeout):
                return await client.request("Egress", method, request, headers, response)
        except ServerError as error:
            raise ours(error) from error
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise LiveKitUnavailable("livekit-server does not answer") from error

    async def _tell(self, news: News) -> None:
        """Tell the listener, again where it could not keep it; asking finds the rest."""
        for _ in range(TELLINGS if self.listener else 0):
            try:
                assert self.listener is not None
                return await self.listener(news)
            except EgressManagerError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(TELL_AGAIN)
        return None


def _file_type(order: Order) -> egress.EncodedFileType:
    return _FILE_TYPES[order.path.rpartition(".")[2]]


def _s3(bucket: Bucket) -> egress.S3Upload:
    return egress.S3Upload(
        bucket=bucket.name,
        region=bucket.region,
        endpoint=bucket.endpoint,
        access_key=bucket.access_key,
        secret=bucket.secret,
        force_path_style=True,
    )
