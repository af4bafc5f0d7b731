"""The service as users run it, with one more answer: what its tasks are."""

import asyncio

from egress_manager.app import app


@app.get("/benchmark/tasks")
async def tasks() -> list[str]:
    """The coroutines of all tasks but those that serve this request, sorted."""
    current = asyncio.current_task()
    running = (task for task in asyncio.all_tasks() if task is not current)
    return sorted(getattr(task.get_coro(), "__qualname__", "?") for task in running)


__all__ = ["app"]
