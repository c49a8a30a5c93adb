"""Another site's page in the user's browser gets nothing, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.errors import DeclarationError
from ml_assets.core.settings import Settings
from ml_assets.ingest.log.event_log import EventLog
from ml_assets.serving.access.hosts import REMEMBERED, Hosts
from ml_assets.serving.access.tokens import Tokens
from ml_assets.serving.contract.decoding import RequestRefused
from tests.serving.http.test_fast_path import AT, connected, prediction
from tests.serving.kit import Toy, asked, problem, serving

OWN_HOSTS = ("localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1:9", "127.3.2.1", "[::1]:8080")
FOREIGN_HOSTS = (
    "rebind.example", "rebind.example:8080", "localhost.rebind.example", "127.0.0.1.rebind.example",
    "0x7f.1", "10.0.0.7", "192.168.rebind.example", "notlocalhost", "[2001:db8::1]:80",
)
UNSOUND_HOSTS = ("", "a b", "user@localhost", "localhost:0", "localhost:99999", "localhost:x",
                 "localhost/x", "[::1.x]", "a,b", "::1", "[::1", "lo\xe4cal", "http://localhost")
OTHER_ORIGINS = (
    "https://evil.example", "http://localhost", "http://localhost:1", "null", "", "localhost:8080",
    "http://localhost:8080.evil.example", "http://evil.example:8080", "file://", "http://localhost@x",
    "chrome-extension://abc", "http://[::1]:8080", "http://localhost:8080, http://localhost:8080",
)


@pytest.fixture
def toy(settings: Settings) -> Toy:
    toy = Toy(settings=settings)
    toy.deploy(1)
    return toy


@pytest.fixture(params=[True, False], ids=["direct", "asgi"])
def api(toy: Toy, request: pytest.FixtureRequest) -> Iterator[httpx.Client]:
    with serving(toy, direct=request.param) as client:
        yield client


def refusal(hosts: Hosts, method: str = "GET", **headers: str) -> int | None:
    """The status with which a request is refused; None if it is let in."""
    given = [(name.replace("_", "-").encode(), value.encode("latin-1"))
             for name, value in headers.items()]
    try:
        hosts.require(method, given)
    except RequestRefused as refused:
        assert refused.problem.message
        return refused.status
    return None


# --- by the host ----------------------------------------------------------------------------


def test_this_machine_may_be_called_by_its_own_names_on_any_port() -> None:
    assert [refusal(Hosts(), host=host) for host in OWN_HOSTS] == [None] * len(OWN_HOSTS)


def test_a_name_that_someone_else_can_point_here_is_refused() -> None:
    assert [refusal(Hosts(), host=host) for host in FOREIGN_HOSTS] == [421] * len(FOREIGN_HOSTS)


def test_what_is_no_host_is_refused() -> None:
    assert [refusal(Hosts(), host=host) for host in UNSOUND_HOSTS] == [400] * len(UNSOUND_HOSTS)
    for hosts in (Hosts(), Hosts(anyone=True)):
        with pytest.raises(RequestRefused, match="0 headers Host"):
            hosts.require("GET", [])
        with pytest.raises(RequestRefused, match="2 headers Host"):
            hosts.require("GET", [(b"host", b"localhost"), (b"host", b"localhost")])
        hosts.require("GET", [], "1.0")


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_whatever_is_sent_as_host_is_let_in_only_as_a_name_of_ours(host: str) -> None:
    status = refusal(Hosts(), host=host)
    name = host.lower().rpartition(":")[0] if ":" in host.rpartition("]")[2] else host.lower()
    if status is None:
        assert name.removesuffix(".") == "localhost" or name.startswith("127.") or name == "[::1]"
    else:
        assert status in (400, 421)


def test_names_are_added_by_the_operator_with_or_without_a_port() -> None:
    hosts = Hosts(["ML.example", "lab.example:8443"])
    for host in ("ml.example", "ml.example:99", "lab.example", "localhost"):
        assert refusal(hosts, host=host) is None
    assert refusal(hosts, host="www.ml.example") == 421


def test_a_server_that_asks_each_caller_for_a_token_answers_to_every_name_unless_told_its_own(
    tmp_path: Path,
) -> None:
    def server(host: str, *hosts: str) -> Hosts:
        return Hosts.of(Settings(var=tmp_path, host=host, hosts=hosts))

    assert refusal(server("0.0.0.0"), host="ml.example") is None
    assert refusal(server("0.0.0.0"), host="a b") == 400
    assert refusal(server("0.0.0.0"), "POST", host="ml.example", origin="http://a.example") == 403
    for listens in ("0.0.0.0", "::", "192.0.2.7", "fd00::1", "ml.internal", ""):
        assert refusal(server(listens, "ml.example"), host="ml.example") is None
        assert refusal(server(listens, "ml.example"), host="rebind.example") == 421
    assert refusal(server("192.0.2.7", "ml.example"), host="192.0.2.7:8080") is None
    assert refusal(server("fd00::1", "ml.example"), host="[fd00::1]:8080") is None
    for listens in ("127.0.0.1", "localhost", "::1"):
        assert refusal(server(listens), host="rebind.example") == 421
        assert refusal(server(listens, "ml.example"), host="ml.example") is None


@pytest.mark.parametrize("given", ["*", "a b", "http://ml.example", "ml.example/x", "a:b", ".a"])
def test_an_unsound_name_is_refused_at_the_start(
    monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("ML_ASSETS_HOSTS", f"ml.example, {given}")
    with pytest.raises(DeclarationError, match="ML_ASSETS_HOSTS names"):
        Settings.from_environment()


def test_names_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ML_ASSETS_HOSTS", " ML.example, lab.example:8443 ,,")
    assert Settings.from_environment().hosts == ("ml.example", "lab.example:8443")


def test_ever_new_ports_are_not_remembered_for_ever() -> None:
    hosts = Hosts()
    for port in range(1, 5 * REMEMBERED):
        assert refusal(hosts, host=f"localhost:{port}") is None
    assert len(hosts.known) <= REMEMBERED


# --- by the page ----------------------------------------------------------------------------


def test_a_page_of_ours_is_known_by_its_origin() -> None:
    for host, origin in (("localhost:8080", "http://localhost:8080"), ("localhost", "http://localhost"),
                         ("localhost", "https://localhost"), ("LocalHost:80", "http://localhost:80"),
                         ("[::1]:8080", "http://[::1]:8080"), ("localhost:443", "https://localhost")):
        assert refusal(Hosts(), "POST", host=host, origin=origin) is None


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD", "DELETE"])
def test_any_other_origin_is_refused_whatever_the_method(method: str) -> None:
    for origin in OTHER_ORIGINS:
        assert refusal(Hosts(), method, host="localhost:8080", origin=origin) == 403, origin


def test_behind_a_proxy_that_changes_host_the_public_origin_is_named_by_the_operator() -> None:
    hosts = Hosts(["ml.example", "lab.example:8443", "old.example:80"])
    for origin in ("https://ml.example", "http://ml.example", "https://lab.example:8443",
                   "https://ml.example:443", "http://old.example"):
        assert refusal(hosts, "POST", host="127.0.0.1:8080", origin=origin) is None, origin
    for origin in ("https://ml.example:8443", "https://lab.example", "https://evil.example"):
        assert refusal(hosts, "POST", host="127.0.0.1:8080", origin=origin) == 403, origin


def test_what_the_browser_says_of_the_site_counts() -> None:
    for site in ("same-origin", "none"):
        assert refusal(Hosts(), "POST", host="localhost", sec_fetch_site=site) is None
    for site in ("cross-site", "same-site", "", "who knows", "same-origin, cross-site"):
        assert refusal(Hosts(), "POST", host="localhost", sec_fetch_site=site) == 403
        assert refusal(Hosts(), "GET", host="localhost", sec_fetch_site=site) == 403


def test_a_link_on_another_site_may_open_a_page_but_not_in_a_frame_nor_by_a_form() -> None:
    link = {"host": "localhost", "sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert refusal(Hosts(), "GET", **link, sec_fetch_dest="document") is None
    for dest in ("iframe", "object", "embed", "image", ""):
        assert refusal(Hosts(), "GET", **link, sec_fetch_dest=dest) == 403
    assert refusal(Hosts(), "GET", **link) == 403
    assert refusal(Hosts(), "POST", **link, sec_fetch_dest="document") == 403


# --- over a socket, on both ways ------------------------------------------------------------

ATTACKS = {
    "a page that posts": ({"origin": "https://evil.example", "content-type": "text/plain"}, 403),
    "a page on another port": ({"origin": "http://localhost:1"}, 403),
    "a sandboxed page": ({"origin": "null"}, 403),
    "a browser without Origin": ({"sec-fetch-site": "cross-site"}, 403),
    "a page of the same site": ({"sec-fetch-site": "same-site"}, 403),
    "a name that was bound anew": ({"host": "rebind.example"}, 421),
    "the same from its own page": ({"host": "rebind.example", "origin": "http://rebind.example",
                                    "sec-fetch-site": "same-origin"}, 421),
}


@pytest.mark.parametrize(("headers", "status"), ATTACKS.values(), ids=ATTACKS)
def test_another_sites_page_neither_predicts_nor_reads_nor_speaks_as_the_trusted_source(
    api: httpx.Client, toy: Toy, headers: dict[str, str], status: int
) -> None:
    code = {403: "cross_site", 421: "unknown_host"}[status]
    own = api.post("/v1/toy/predict", json=asked("own")).json()
    said = {"prediction_id": own["prediction_id"], "label": True, "source": "recipient"}
    for path, body in (("predict", asked("theirs")), ("predict/batch", {"events": [asked("b")]}),
                       ("feedback", said)):
        problem(api.post(f"/v1/toy/{path}", json=body, headers=headers), status, code)
    for path in ("/", "/docs", "/metrics", "/readyz", "/v1/toy/version", "/nowhere",
                 f"/v1/toy/predictions/{own['prediction_id']}"):
        problem(api.get(path, headers=headers), status, code)
    assert EventLog(toy.settings.event_log).count("toy") == (1, 0)


def test_pages_of_ours_and_programs_are_answered(api: httpx.Client) -> None:
    origin = str(api.base_url).rstrip("/")
    page = {"origin": origin, "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}
    for headers in ({}, page, {"host": "localhost:1"}, {"sec-fetch-site": "none"}):
        assert api.post("/v1/toy/predict", json=asked(), headers=headers).status_code == 200


def test_a_token_does_not_open_the_server_to_other_names_on_loopback(toy: Toy) -> None:
    _, secret = Tokens(toy.settings.tokens).create("shop", ["predict"], [], AT)
    bearer = {"authorization": f"Bearer {secret}"}
    with serving(toy) as api:
        for headers, status in ((bearer, 200), ({**bearer, "host": "rebind.example"}, 421),
                                ({**bearer, "origin": "https://evil.example"}, 403)):
            answer = api.post("/v1/toy/predict", json=asked(), headers=headers)
            assert answer.status_code == status


def test_a_whole_url_in_the_first_line_says_which_host_is_meant(toy: Toy) -> None:
    def lines(target: str, *headers: str) -> bytes:
        return "\r\n".join((f"GET {target} HTTP/1.1", *headers, "", "")).encode()

    with serving(toy) as api, connected(api) as client:
        assert client.ask(lines("http://rebind.example/healthz", "Host: localhost")).status == 421
        assert client.ask(lines("http://localhost:7/healthz", "Host: rebind.example")).status == 200
        for headers in ((), ("Host: localhost", "Host: localhost")):
            assert client.ask(lines("/healthz", *headers)).status == 400
            assert client.ask(lines("http://localhost/healthz", *headers)).status == 400
        assert client.ask(prediction("e", "Host: rebind.example")).status == 400  # a second one
