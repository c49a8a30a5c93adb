"""The floor: raw ASGI on uvicorn, orjson, eager torch. `asgi_app.py MODEL PORT`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from model import Exported

Message = MutableMapping[str, Any]
HEADERS = [(b"content-type", b"application/json")]


def application(exported: Exported) -> Callable[..., Awaitable[None]]:
    async def app(
        scope: Message, receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        asked = orjson.loads(body)
        [score] = exported.score([asked["note"]], [asked["dense"]])
        answer = orjson.dumps({"score": score})
        length = (b"content-length", b"%d" % len(answer))
        await send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, length]})
        await send({"type": "http.response.body", "body": answer})

    return app


if __name__ == "__main__":
    uvicorn.run(application(Exported(Path(sys.argv[1]))), host="127.0.0.1", port=int(sys.argv[2]),
                access_log=False, lifespan="off", log_level="warning")
