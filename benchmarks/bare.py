"""The least that a durable webhook can be: FastAPI, and one journaled insert into MongoDB.

Run like the manager: `BARE_MONGO_URI=… uvicorn benchmarks.bare:app`.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from pymongo import AsyncMongoClient, WriteConcern


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(os.environ["BARE_MONGO_URI"])
    async with client:
        database = client.get_database("bare", write_concern=WriteConcern("majority", j=True))
        app.state.inbox = database["inbox"]
        yield


app = FastAPI(lifespan=_lifespan)


@app.post("/webhook")
async def receive(request: Request) -> dict[str, str]:
    """Keep the body; say so when it is in the journal."""
    await request.app.state.inbox.insert_one({"body": await request.body()})
    return {"outcome": "kept"}
