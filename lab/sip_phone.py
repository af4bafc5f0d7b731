"""A telephone of our own: it calls and is called over UDP, speaks and hears G.711.

async with SipPhone("+15550100") as caller, SipPhone("+15550101") as called:
    await caller.dial("+15550101", called.place)
    await called.answer()
    await caller.say(chirp(2))
    await called.hang_up()

What happens to it: "ringing", "answered", "said", "refused", and "left" with a `reason`.
"""

import asyncio
import contextlib
from collections.abc import Callable

from lab.actors import WAIT_TIMEOUT, Actor, Happening
from lab.microphone import Utterance
from lab.sip import dialogs, sdp
from lab.sip.messages import Request, Response, uri_in, user_of
from lab.sip.transactions import Asked, Endpoint, NoAnswer, Place, Served, Timers
from lab.sip_media import Media
from lab.sounds import PCM

#: livekit-sip lets a call ring for three minutes, and then refuses it.
RING_TIMEOUT = 200.0
LEAVE_TIMEOUT = 5.0
_RINGING = 180


class CallRefused(Exception):
    """The call was not let in; says with which status and reason."""


class SipPhone(Actor):
    """A telephone for one call; `says` are its first words once that is answered.

    `loses` is asked of each of its messages whether it gets lost on its way.
    """

    def __init__(
        self,
        number: str,
        *,
        says: PCM | None = None,
        timers: Timers | None = None,
        loses: Callable[[bytes], bool] | None = None,
        on_happening: Callable[[Happening], None] | None = None,
    ) -> None:
        Actor.__init__(self, f"sip_{number}", on_happening)
        self.number = number
        self._says = says
        self._endpoint = Endpoint(self._hear, self._confirm, timers=timers, loses=loses)
        self._media = Media()
        self._tag = dialogs.new_tag()
        self._dialog: dialogs.Dialog | None = None
        self._asked: Asked | None = None
        self._following: asyncio.Task[None] | None = None
        self._served: Served | None = None

    @property
    def place(self) -> Place:
        """Where it can be called."""
        return self._endpoint.place

    @property
    def keys(self) -> str:
        """What the other side has pressed."""
        return self._media.keys

    def heard(self) -> PCM:
        """All that was heard so far, at 48 kHz."""
        return self._media.heard()

    async def join(self) -> None:
        """Plug it in: it can call, and be called."""
        await self._endpoint.open()
        await self._media.open()

    async def leave(self) -> None:
        """Hang up, and unplug it."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_TIMEOUT):
                    await self.hang_up()
        finally:
            await self._media.close()
            await self._endpoint.close()
            await self._end_deeds()

    async def dial(self, number: str, place: Place) -> None:
        """Call a number; returns when it rings there. Raises CallRefused and NoAnswer."""
        if self._asked or self._served:
            raise RuntimeError(f"{self.number} has had its call")
        offer = self._media.ours.to_bytes()
        request = dialogs.invite(self.number, number, self.place, place, offer)
        self._asked = asked = self._endpoint.ask(request, place)
        while (response := await asked.answer(WAIT_TIMEOUT)).status < _RINGING:
            pass
        if not self._take(asked, response):
            self._following = self._do(self._follow(asked))
        elif refused := self.first("refused"):
            raise CallRefused(f"{refused.details['status']} {refused.details['reason']}")

    async def answer(self) -> None:
        """Take the call that rings. Raises NoSound where it is none that we understand."""
        served = self._ringing()
        theirs = sdp.parse(served.request.body)
        self._media.ours = sdp.Sound(self._media.ours.host, self._media.ours.port, theirs.events)
        self._dialog = dialogs.Dialog.of_called(served.request, self._tag)
        self._describe(served)
        self._open_line(theirs)

    def refuse(self, status: int = 486, reason: str = "Busy Here") -> None:
        """Don't take the call that rings."""
        self._ringing().answer(status, reason, tag=self._tag)
        self._end("refused")

    async def answered(self, timeout: float = WAIT_TIMEOUT) -> Happening:
        """Wait until somebody answered."""
        return await self.reached("answered", timeout)

    async def say(self, pcm: PCM) -> Utterance:
        """Say it in real time, once the call is answered; returns when the last of it is out.

        Raises ConnectionError when the call ends before.
        """
        utterance = await self._media.say(pcm)
        self.note("said", started_at=utterance.started_at, ended_at=utterance.ended_at)
        return utterance

    async def send_dtmf(self, digits: str) -> None:
        """Press keys; they travel as telephone events, not as sound."""
        self._media.press(digits)
        for digit in digits:
            self.note("dtmf", digit=digit)

    async def hang_up(self) -> None:
        """End the call, or take it back while it rings; harmless when it is over.

        Raises NoAnswer when the other side does not say that it understood.
        """
        if self._following is not None and self._dialog is None:
            await self._take_back()
        if self._served is not None and not self._served.is_answered:
            self.refuse()
        if self._dialog is not None and self.first("left") is None:
            self._dialog = self._dialog.later()
            self._end("hung up")
            bye = self._dialog.request("BYE", self.place)
            await self._endpoint.ask(bye, self._dialog.next_hop).final(WAIT_TIMEOUT)

    async def _take_back(self) -> None:
        """Cancel; where the answer came at the same moment, there is a call all the same."""
        if self._asked is None or self._following is None or self.first("left") is not None:
            return
        self._endpoint.ask(dialogs.cancel(self._asked.request), self._asked.place)
        # Not every server answers CANCEL itself; what counts is how the call ends.
        done, _ = await asyncio.wait({self._following}, timeout=WAIT_TIMEOUT)
        if not done:
            raise NoAnswer(f"{self._asked.place} did not take the call back")

    async def _follow(self, asked: Asked) -> None:
        while not self._take(asked, await asked.answer(RING_TIMEOUT)):
            pass

    def _take(self, asked: Asked, response: Response) -> bool:
        """An answer to our call; whether it was the last."""
        if not response.is_final:
            if response.status == _RINGING and self.first("ringing") is None:
                self.note("ringing")
            return False
        if response.is_success:
            self._dialog = dialogs.Dialog.of_caller(asked.request, response)
            asked.confirm(self._dialog.request("ACK", self.place), self._dialog.next_hop)
            self._open_line(sdp.parse(response.body))
        else:
            self.note("refused", status=response.status, reason=response.reason)
            self._end(f"{response.status} {response.reason}")
        return True

    def _open_line(self, theirs: sdp.Sound) -> None:
        self._media.begin(theirs)
        self.note("answered")
        if self._says is not None:
            self._do(self._say_first(self._says))

    async def _say_first(self, words: PCM) -> None:
        with contextlib.suppress(ConnectionError):
            await self.say(words)

    def _hear(self, served: Served) -> None:
        """A request came."""
        match served.request.method:
            case "INVITE":
                self._invited(served)
            case "CANCEL":
                self._cancelled(served)
            case "BYE" if self._dialog is not None and self._dialog.has(served.request):
                served.answer(200, "OK")
                self._end("the other side hung up")
            case "BYE":
                served.answer(481, "Call/Transaction Does Not Exist")
            case "OPTIONS":
                served.answer(200, "OK", tag=self._tag, headers={"Allow": dialogs.ALLOWED})
            case _:
                served.answer(405, "Method Not Allowed", headers={"Allow": dialogs.ALLOWED})

    def _invited(self, served: Served) -> None:
        """A call, or something new about the one there is, which changes nothing here."""
        if self._dialog is not None and self._dialog.has(served.request):
            self._describe(served)
        elif self._asked or self._served:
            served.answer(486, "Busy Here", tag=dialogs.new_tag())
        else:
            self._served = served
            served.answer(_RINGING, "Ringing", tag=self._tag)
            self.note("ringing", number=user_of(uri_in(served.request.get("From"))))

    def _cancelled(self, served: Served) -> None:
        if self._served is None or self._served.request.branch != served.request.branch:
            served.answer(481, "Call/Transaction Does Not Exist")
            return
        served.answer(200, "OK", tag=self._tag)
        if not self._served.is_answered:
            self._served.answer(487, "Request Terminated", tag=self._tag)
            self._end("taken back")

    def _confirm(self, ack: Request) -> None:
        if self._served is not None and self._dialog is not None and self._dialog.has(ack):
            self._served.is_confirmed.set()

    def _describe(self, served: Served) -> None:
        """Say yes to a call, and where its sound shall go."""
        host, port = self.place
        headers = {
            "Contact": f"<sip:{self.number}@{host}:{port}>",
            "Allow": dialogs.ALLOWED,
            "Content-Type": "application/sdp",
        }
        body = self._media.ours.to_bytes()
        served.answer(200, "OK", tag=self._tag, headers=headers, body=body)

    def _ringing(self) -> Served:
        if self._served is None or self._served.is_answered:
            raise RuntimeError(f"{self.number} does not ring")
        return self._served

    def _end(self, reason: str) -> None:
        self._media.end()
        if self.first("left") is None:
            self.note("left", reason=reason)
