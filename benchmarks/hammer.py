"""Posts webhooks as fast as they are answered: `python -m benchmarks.hammer PORT RUN SECONDS RATE`.

Lives in a process of its own, and is as lean as can be, so that the server is what is measured:
requests are made before the clock runs (RATE × SECONDS of them, more than can be answered), and
each of 32 connections sends its next one when it has its answer. Prints one JSON object.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvloop

from lab.events import signed, signed_webhooks, somebody_joins_now
from lab.ports import LOOPBACK
from lab.servers import API_KEY, API_SECRET

CONNECTIONS = 32


@dataclass(slots=True)
class Tally:
    """What was answered: how often each status, and how long each took (seconds)."""

    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)


async def post_all(port: int, requests: Iterator[bytes], seconds: float) -> dict[str, object]:
    """Post from all connections for so long, and tell what came of it."""
    tally, began = Tally(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(_connection(port, requests, began + seconds, tally))
    lasted = time.perf_counter() - began
    return {
        "per_second": len(tally.took) / lasted,
        "statuses": tally.statuses,
        "median_ms": statistics.median(tally.took) * 1000,
        "p99_ms": statistics.quantiles(tally.took, n=100)[-1] * 1000,
        "ran_out": next(requests, None) is None,
    }


async def _connection(port: int, requests: Iterator[bytes], end: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        for request in requests:
            began = time.perf_counter()
            if began > end:
                return
            writer.write(request)
            tally.statuses[await _answer(reader)] += 1
            tally.took.append(time.perf_counter() - began)
    finally:
        writer.close()
        await writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer; its body is read and forgotten."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head[9:12])


def requests(run: str, count: int) -> list[bytes]:
    """Whole HTTP requests, ready to be sent."""
    made = [_request(*webhook) for webhook in signed_webhooks(run, count, API_KEY, API_SECRET)]
    first = somebody_joins_now(run)
    return [_request(*signed(first, API_KEY, API_SECRET)), *made]


def _request(body: bytes, signature: str) -> bytes:
    head = (
        f"POST /webhook HTTP/1.1\r\nHost: {LOOPBACK}\r\nUser-Agent: Go-http-client/1.1\r\n"
        f"Content-Length: {len(body)}\r\nAuthorization: {signature}\r\n"
        "Content-Type: application/webhook+json\r\nAccept-Encoding: gzip\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Post and print."""
    port, run, seconds, rate = sys.argv[1:]
    ready = iter(requests(run, round(float(seconds) * float(rate))))
    print(json.dumps(uvloop.run(post_all(int(port), ready, float(seconds)))))


if __name__ == "__main__":
    main()
