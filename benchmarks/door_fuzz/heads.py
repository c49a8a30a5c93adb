"""Requests with an odd request line, headers or framing, and bytes that are not a request."""

from __future__ import annotations

from benchmarks.door_fuzz.drawing import CALLS, NAME, PREDICT, Draw, mutated, request


def raw_bytes(draw: Draw) -> bytes:
    start = draw.random.choice(
        [b"", b"", b"POST ", b"GET / HTTP/1.1\r\n", b"\r\n", b"\x16\x03\x01"])
    return start + draw.random.randbytes(draw.random.randint(1, 200))


def mutated_request(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    return mutated(draw.random, request(path, draw.body(path)))


def wrong_length(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    body = draw.body(path)
    wrong = draw.random.choice([
        b"0", b"1", b"%d" % (len(body) - 1), b"%d" % (len(body) + 1), b"%d" % (len(body) + 40),
        b"-1", b"+5", b"0x10", b"1e2", b"", b" ", b"99999999999999999999", b"%d " % len(body),
        b"00%d" % len(body), b"%d, %d" % (len(body), len(body)),
    ])
    return request(path, body, length=wrong)


HEADERS = (
    b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding : chunked", b"Expect: 100-continue",
    b"Expect: what", b"Connection: close", b"Connection: keep-alive", b"Connection: upgrade",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings"
    b"\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
    b"\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    b"X-Request-Id: mine", b"X-Request-Id: not mine", b"X-Request-Id: \xe4", b"X-Request-Id:",
    b"X-Request-Id: " + b"x" * 65, b"Authorization: Bearer mla_x_y", b"Authorization: Basic YTpi",
    b"Authorization: \xff\xff", b"Content-Type: text/plain", b"Content-Type: \xe4", b"Accept: a/b",
    b"Content-Type: multipart/form-data; boundary=x", b"Cookie: a=b; c", b"Host: 127.0.0.1",
    b"Origin: null", b"Sec-Fetch-Site: same-origin", b"X: " + b"y" * 4000, b"A:b", b"a b: c",
    b": c", b"a\0: c", b"a: \0", b"a: b\r\n c", b"no colon", b"Traceparent: 00-" + b"0" * 32,
    b"Content-Encoding: deflate", b"X-Forwarded-For: 1.2.3.4", b"Accept: text/html",
)


def odd_headers(draw: Draw) -> bytes:
    path = draw.random.choice(CALLS)
    headers = draw.random.sample(HEADERS, draw.random.randint(1, 3))
    return request(path, draw.body(path), *headers)


def chunked(draw: Draw) -> bytes:
    path, random = draw.random.choice(CALLS), draw.random
    body, chunks = draw.body(path), b""
    while body:
        size = random.randint(1, len(body))
        chunks += b"%x%b\r\n%b\r\n" % (size, random.choice([b"", b"", b";a=b"]), body[:size])
        body = body[size:]
    chunks += random.choice([b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nA: b\r\n\r\n",
                             b"0\r\nx\r\n\r\n", b"g\r\n"])
    if random.random() < 0.3:
        chunks = mutated(random, chunks)
    return request(path, chunks, b"Transfer-Encoding: chunked", length=b"")


def odd_line(draw: Draw) -> bytes:
    random = draw.random
    path = random.choice([
        *CALLS, "/", "/docs", "/openapi.json", "/healthz", "/nowhere",
        "/v1//predict", f"/v1/{NAME}/predict/", f"//v1/{NAME}/predict", f"{PREDICT}?a=b",
        f"{PREDICT}#x", "/v1/%72eturns/predict", "/v1/returns%00/predict", "*", "http://127.0.0.1/",
        f"http://127.0.0.1{PREDICT}", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/\xe4",
        "/%",
        "/v1/Returns/predict", f"/v1/{NAME}/predictions/{draw.prediction_id}", "/%ff%fe",
        f"/v1/{NAME}/predictions/x", f"/v1/{NAME}/predictions/{draw.prediction_id}/rows/x", "",
        f"/v1/{NAME}/predictions/%0a", f"/v1/{NAME}/feedback;a=b", "/" + "a" * 5000,
    ])
    method = random.choice([b"POST", b"POST", b"GET", b"GET", b"PUT", b"DELETE", b"HEAD",
                            b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT", b"post", b"P", b"PRI",
                            b"\xe4", b""])
    version = random.choice([b"1.1", b"1.1", b"1.1", b"1.0", b"0.9", b"2.0", b"1.2", b"", b"x"])
    return request(path, draw.body(PREDICT), method=method, version=version)


def scores(draw: Draw) -> bytes:
    """Of shops that nobody's event is about by now: others might be scored at this moment."""
    random = draw.random
    key = random.choice(["shop", "shop%201"]) + "".join(random.choice([
        "%20", "1", "%00", "%ff", "%c3%a9", "/", "%2f", "..", "%", "%zz", "?a", "#", "+", "\xe4",
        "%ed%a0%80", "%0a", "&", ";", "x" * 300,
    ]) for _ in range(random.randint(0, 4)))
    return request(f"/v1/{NAME}/scores/{key}", b"", method=random.choice([b"GET", b"GET", b"POST"]))
