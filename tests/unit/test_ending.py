"""A process that is asked to end: each step has its time, and none is waited for for ever."""

import asyncio
import logging
import signal
import subprocess
import sys
import textwrap

import pytest

from egress_manager.ending import Ending

#: A process that is stuck for ever is noticed after this. Seconds.
PATIENCE = 60.0


async def test_a_step_that_takes_too_long_is_cut_short_and_the_next_one_follows(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What would wait for ever is cancelled; the log says which step it was."""
    caplog.set_level(logging.WARNING)
    done: list[str] = []

    async def note(what: str) -> None:
        done.append(what)

    ending = Ending()
    ending.begin()
    await ending.take("first", asyncio.sleep(3600), 0.01)
    await ending.take("second", note("second"), PATIENCE)

    assert done == ["second"]
    assert [(r.message, r.__dict__["step"]) for r in caplog.records] == [
        ("end_step_cut_short", "first")
    ]


async def test_a_step_that_fails_does_not_hold_up_the_next_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong is logged, and not raised."""
    ending = Ending()
    ending.begin()

    async def fail() -> None:
        raise RuntimeError("broken")

    await ending.take("first", fail(), PATIENCE)

    assert [record.message for record in caplog.records] == ["end_step_failed"]


STUCK = """
    import asyncio, signal, threading
    from egress_manager import ending, telemetry

    telemetry.set_up("INFO", plain=False)
    ending.LIMIT = 0.5
    ending.LAST_MOMENTS = 0.1

    async def main():
        with ending.heeded(passing_on=False) as end:
            {work}
            print("ready", flush=True)
            await end.asked()
            {at_the_end}

    asyncio.run(main())
"""

#: What hangs, and when.
HANGING = {
    "a disk that never answers": (
        "asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)",
        "pass",
    ),
    "a task that does not heed its cancellation": ("pass", "await stubborn()"),
    "the event loop itself": ("pass", "threading.Event().wait()"),
}


@pytest.mark.parametrize("what", HANGING)
def test_a_process_in_which_something_hangs_for_ever_ends(what: str) -> None:
    """By its own watch, which says so; nobody needs to kill it."""
    work, at_the_end = HANGING[what]
    stubborn = """
    async def stubborn():
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass
    """
    program = textwrap.dedent(stubborn) + textwrap.dedent(STUCK).format(
        work=work, at_the_end=at_the_end
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            _, log = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()

    assert process.returncode == 1
    assert '"end_forced"' in log


async def test_signals_belong_to_whoever_had_them_before_when_it_is_over() -> None:
    """A block that ended leaves no trace."""
    from egress_manager.ending import heeded

    before = signal.getsignal(signal.SIGTERM)
    with heeded(passing_on=True):
        assert signal.getsignal(signal.SIGTERM) is not before

    assert signal.getsignal(signal.SIGTERM) is before
