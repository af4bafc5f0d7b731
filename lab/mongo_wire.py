"""One command to a mongod, without a driver: nothing that watches, reconnects or lingers."""

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from typing import Any

import bson

from lab.ports import LOOPBACK

# OP_MSG: length, request id, answers to, operation; then flags and one section of kind 0.
_HEADER = struct.Struct("<iiii")
_BODY = struct.Struct("<IB")
_OP_MSG = 2013


async def admin_command(port: int, command: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """The server's answer, whose `ok` says whether it could; OSError when there is none."""
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
        try:
            writer.write(_message({**command, "$db": "admin"}))
            length, *_ = _HEADER.unpack(await reader.readexactly(_HEADER.size))
            body = await reader.readexactly(length - _HEADER.size)
        except asyncio.IncompleteReadError as error:
            raise ConnectionError("mongod closed the connection") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    return dict(bson.decode(body[_BODY.size :]))


def _message(document: Mapping[str, Any]) -> bytes:
    body = _BODY.pack(0, 0) + bson.encode(document)
    return _HEADER.pack(_HEADER.size + len(body), 1, 0, _OP_MSG) + body
