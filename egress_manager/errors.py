"""What can go wrong, whose fault it is, and whether trying again helps.

    EgressManagerError
    ├── NotFound              nobody has that id
    ├── NotYet                news came before what they are about          retryable
    ├── Conflict              somebody wrote first; read again and decide again
    ├── BadRequest            what was asked can't be understood
    ├── Unauthenticated       who asks is not known
    ├── TooManyRequests       too many wrong keys came from there           retryable
    ├── TooBusy               more is being read at one time than may be    retryable
    ├── SignatureRefused      a webhook that LiveKit did not sign
    ├── ChainBroken           the end of the audit chain is not ours
    ├── ForeignDocument       somebody else wrote a document
    ├── DocumentUnreadable    a stored document is not of its kind
    ├── SettingsWrong         a setting has a value that can't be used
    ├── StoreUnavailable      MongoDB does not answer                       retryable
    ├── LiveKitUnavailable    livekit-server does not answer                retryable
    ├── LiveKitRefused        livekit-server answered no: key, right, room
    ├── CaptureFailed         the recorder could not be in the room         retryable
    ├── StorageFailed         the recordings can't be written or reached    retryable
    ├── RenderFailed          the mix could not be made from what was kept  retryable
    └── ListenFailed          the files could not be listened to            retryable

`code` is stable and public; `retryable` says whether the same call may succeed later.
"""

from typing import ClassVar


class EgressManagerError(Exception):
    """The root of every error this product raises on purpose."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class NotFound(EgressManagerError):
    """Nobody has that id."""

    code = "not_found"


class NotYet(EgressManagerError):
    """News came before what they are about: taken again later, they make sense."""

    code = "not_yet"
    retryable = True


class Conflict(EgressManagerError):
    """Somebody wrote first: read again and decide again."""

    code = "conflict"


class BadRequest(EgressManagerError):
    """What was asked can't be understood; the message says what to change."""

    code = "bad_request"


class Unauthenticated(EgressManagerError):
    """The API key is missing or wrong."""

    code = "unauthenticated"


class TooManyRequests(EgressManagerError):
    """Too many wrong keys came from this address: it has to wait."""

    code = "too_many_requests"
    retryable = True


class TooBusy(EgressManagerError):
    """More is being read at one time than there is room for: try again in a moment."""

    code = "too_busy"
    retryable = True


class SignatureRefused(EgressManagerError):
    """The webhook is not signed by a key that we know."""

    code = "signature_refused"


class ChainBroken(EgressManagerError):
    """The end of the audit chain is missing, or somebody else made it: nothing is added to it."""

    code = "chain_broken"


class ForeignDocument(EgressManagerError):
    """Somebody else wrote a document, or set it back to what it was: it is not sealed."""

    code = "document_foreign"


class DocumentUnreadable(EgressManagerError):
    """A stored document lacks what its kind has, or has something else in its place."""

    code = "document_unreadable"


class SettingsWrong(EgressManagerError):
    """A setting has a value that can't be used; the message says which, and what to write."""

    code = "settings_wrong"


class StoreUnavailable(EgressManagerError):
    """MongoDB does not answer."""

    code = "store_unavailable"
    retryable = True


class LiveKitUnavailable(EgressManagerError):
    """livekit-server does not answer."""

    code = "livekit_unavailable"
    retryable = True


class LiveKitRefused(EgressManagerError):
    """livekit-server answered no: the key, its rights, or the room."""

    code = "livekit_refused"


class CaptureFailed(EgressManagerError):
    """The recorder could not be in the room."""

    code = "capture_failed"
    retryable = True


class StorageFailed(EgressManagerError):
    """The recordings directory can't be written, or the bucket can't be read."""

    code = "storage_failed"
    retryable = True


class RenderFailed(EgressManagerError):
    """The file could not be made from what was kept."""

    code = "render_failed"
    retryable = True


class ListenFailed(EgressManagerError):
    """The files could not be listened to, and that says nothing about them."""

    code = "listen_failed"
    retryable = True
