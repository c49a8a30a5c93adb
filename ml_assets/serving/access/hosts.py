"""Under which names a server is reached, and from which pages: DNS rebinding and forgery end here.

A browser lets any page send requests to this machine, and counts them as the user's own. It also
says from which page they come, and no page can change what it says; programs that are no browsers
say nothing. See docs/serving.md, "The edge".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import HOST, Settings
from ml_assets.serving.access.doorkeeper import is_loopback
from ml_assets.serving.contract.decoding import RequestRefused

Headers = Sequence[tuple[bytes, bytes]]
"""Names in small letters, as ASGI has them."""

REMEMBERED = 64
"""As many `Host` headers are known by heart; a client may make up any number of ports."""
_ORIGIN = re.compile(r"(https?)://(.+)")
_DEFAULT_PORTS = {"http": 80, "https": 443}
OWN = frozenset({b"same-origin", b"none"})
"""Values of `Sec-Fetch-Site`: from a page of ours, or typed into the address bar."""


class Hosts:
    """Which requests are meant for this server, by what a browser says of them.

    A request is refused if it names another host, or comes from a page of another origin. Opening
    a page of ours by a link on another site is allowed: that changes nothing, and only the user
    sees what comes.

    names: those by which the server may be called besides this machine's own, each with a port
        if pages are served under one that is not usual
    anyone: accept every name. Only for a server that asks each caller for a token, which no
        browser sends by itself
    """

    def __init__(self, names: Iterable[str] = (), *, anyone: bool = False) -> None:
        given = [split(name) for name in names]
        self._names = frozenset(name for name, _ in given)
        self._pages = frozenset(
            (name, None if port in _DEFAULT_PORTS.values() else port) for name, port in given
        )
        self._anyone = anyone
        self.known: set[bytes | None] = set()
        """Values of `Host` that were accepted: a request with one of these, and without the
        headers of a browser, needs no closer look."""

    @classmethod
    def of(cls, settings: Settings) -> Hosts:
        """Of an API that listens as the settings say: see `anyone`."""
        if is_loopback(settings.host):
            return cls(settings.hosts)
        if not settings.hosts:
            return cls(anyone=True)
        return cls((*settings.hosts, f"[{settings.host}]" if ":" in settings.host
                    else settings.host or "localhost"))

    def require(self, method: str, headers: Headers, version: str = "1.1") -> None:
        """Raise RequestRefused: 400 without one sound `Host`, 421 for another host's request,
        403 for one from another site.
        """
        host, port = self._host(headers, version)
        site, origin = _only(headers, b"sec-fetch-site"), _only(headers, b"origin")
        if site is not None and site not in OWN and not _opens_a_page(method, headers):
            raise RequestRefused(
                403, "cross_site", "a page of another site sent this request: its browser says "
                f"Sec-Fetch-Site: {site.decode('latin-1')[:40]}. Open this server's own pages, or "
                "call it from a program",
            )
        if origin is not None and not self._is_own(origin, host, port):
            raise RequestRefused(
                403, "cross_site", "a page of another site sent this request: Origin is "
                f"{origin.decode('latin-1')[:200]!r}, and the server was called as {host!r}. "
                "Behind a proxy that changes Host, name the public host in ML_ASSETS_HOSTS",
            )

    def _host(self, headers: Headers, version: str) -> tuple[str, int | None]:
        """The name by which the server was called, and the port."""
        given = [value for name, value in headers if name == b"host"]
        if not given and version != "1.1":
            return "", None  # no browser speaks HTTP/1.0
        if len(given) != 1:
            raise RequestRefused(400, "invalid_host", f"the request has {len(given)} headers Host; "
                                 "expected one")
        try:
            host, port = split(given[0].decode("ascii"))
        except (DeclarationError, UnicodeDecodeError):
            raise RequestRefused(
                400, "invalid_host", f"Host is {given[0].decode('latin-1')[:80]!r}; expected a "
                "name or an address, with or without a port",
            ) from None
        if not (self._anyone or host in self._names or is_loopback(host.strip("[]"))):
            raise RequestRefused(
                421, "unknown_host", f"this server is not called {host!r}. Call it localhost, or "
                f"let its operator name the host: ML_ASSETS_HOSTS={host}",
            )
        self._remember(given[0])
        return host, port

    def _remember(self, host: bytes) -> None:
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        self.known.add(host)

    def _is_own(self, origin: bytes, host: str, port: int | None) -> bool:
        page = _ORIGIN.fullmatch(origin.decode("latin-1").lower())
        if page is None:  # such as "null", of a file or a sandbox
            return False
        scheme, authority = page.groups()
        try:
            name, own = split(authority)
        except DeclarationError:
            return False
        usual = _DEFAULT_PORTS[scheme]
        if (name, own or usual) == (host, port or usual):
            return True
        # By what the page's visitor calls us, whatever a proxy has made of Host.
        return (name, None if own == usual else own) in self._pages


def split(authority: str) -> tuple[str, int | None]:
    """Name and port of a host, in one spelling. Raises DeclarationError for what is none."""
    host = HOST.fullmatch(authority.lower())
    port = None if host is None or host[2] is None else int(host[2])
    if host is None or (port is not None and not 0 < port < 65536):
        raise DeclarationError(f"{authority!r} is no host; expected a name or an address, with or "
                               "without a port: ml.example or ml.example:8443")
    return host[1], port


def _only(headers: Headers, wanted: bytes) -> bytes | None:
    """The header's value; of several the whole, which is then nobody's."""
    given = [value for name, value in headers if name == wanted]
    return b", ".join(given) if given else None


def _opens_a_page(method: str, headers: Headers) -> bool:
    """Whether a browser asks for what it will show as a page of its own, not in a frame."""
    return (method in ("GET", "HEAD") and _only(headers, b"sec-fetch-mode") == b"navigate"
            and _only(headers, b"sec-fetch-dest") == b"document")
