"""A bundle's network behind FastAPI, as tutorials write it. Usage: fastapi_server.py PORT WEIGHTS."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from network import answer, load, prepare
from starlette.concurrency import run_in_threadpool

app = FastAPI()
network = load(Path(sys.argv[2]))


@app.post("/invocations")
async def invocations(request: Request) -> list[list[float]]:
    """Answers one picture; torch runs in a thread so that other requests are read meanwhile."""
    content = await request.body()
    return await run_in_threadpool(lambda: answer(network, prepare(content)[None]))


uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
