"""The control of every run: `noop PORT`, raw ASGI on uvicorn with a constant answer.

It reads the body and answers with as many bytes as a prediction has: the cost of HTTP alone.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
BODY = (
    b'{"prediction_id":"000000000000000000000000","event_id":"noop-0000000000","label_name":'
    b'"disputed","decision":false,"score":0.123456789012,"model_version":1,'
    b'"features_as_of":"2024-01-01T00:00:00.000000Z","degraded":false}'
)
HEAD = {
    "type": "http.response.start", "status": 200,
    "headers": [(b"content-type", b"application/json"),
                (b"content-length", str(len(BODY)).encode())],
}


async def app(
    scope: Message, receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    while (await receive()).get("more_body"):
        pass
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False,
                lifespan="off", server_header=False)
