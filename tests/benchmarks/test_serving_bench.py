"""The serving benchmark measures what it says: tried on servers that we know the truth of."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import environments
from benchmarks.serving_load import ours, process_tree, traffic
from benchmarks.serving_load.checks import Events
from benchmarks.serving_load.connection import parse
from benchmarks.serving_load.installation import Installation, installed
from benchmarks.serving_load.latency import Latencies
from benchmarks.serving_load.load import loading, run_load
from benchmarks.serving_load.peer import PEERS, Peer, chosen
from benchmarks.serving_load.plan import Check, Outcome, Plan, Template
from benchmarks.serving_load.restarts import restart_often
from benchmarks.serving_load.soak import soak
from ml_assets.bench import Measurement, show
from ml_assets.cli import main
from ml_assets.core.errors import UnknownName
from tests.benchmarks.stub_server import SYSTEM, Reply, right, stub


def plan(port: int, **of: object) -> Plan:
    """A short run against a stub; `of` says what is different."""
    usual = Plan(
        port=port, path="/", templates=(Template(body='{"event_id": "<id>"}'),),
        check=Check(kind="prediction", system=SYSTEM), connections=4, rate=None, measured_s=0.3,
        id_prefix="e-", timeout_s=5,
    )
    return replace(usual, **of)  # type: ignore[arg-type]


# Latencies


@given(st.lists(st.floats(0, 60), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_that_of_the_sorted_values_up_to_a_hundredth(
    seconds: list[float], share: float
) -> None:
    latencies = Latencies()
    for each in seconds:
        latencies.add(each)
    at_or_below = sorted(seconds)[: max(1, -(-len(seconds) * share // 1).__int__())]
    true_us = int(at_or_below[-1] * 1e6)
    found_us = latencies.quantile_ms(share) * 1000
    assert true_us * (1 - 1 / 64) - 1 <= found_us <= true_us * (1 + 1 / 64) + 1
    assert Latencies.of(latencies.stored()) == latencies
    assert latencies.total == len(seconds)


def test_an_outcome_and_a_plan_survive_their_way_between_processes() -> None:
    outcome = Outcome(seconds=1.5, answered=2, answered_ids=[1, 2], errors={"cut": 1})
    outcome.latencies.add(0.001)
    outcome.fail(0.5, "wrong", "said nothing")
    assert Outcome.decoded(outcome.encoded()) == outcome
    asked = plan(1234, rate=10.0)
    assert Plan.decoded(asked.encoded()) == asked


# The generator


def test_an_open_loop_shows_a_stall_to_all_who_came_meanwhile_and_a_closed_one_hides_it() -> None:
    """Latency counts from the intended send: this is what the whole benchmark stands on."""
    stalled = threading.Lock()
    until = [float("inf")]

    def stalling(number: int) -> Reply:
        with stalled:
            if number == 20:
                until[0] = time.monotonic() + 0.5
            pause = until[0] - time.monotonic()
        if 0 < pause < 1:
            time.sleep(pause)  # everyone waits until the stall is over
        return right(number)

    with stub(stalling) as server:
        opened = run_load(plan(server.port, rate=200.0, measured_s=1.5))
    assert opened.latencies.total == len(server.asked)
    until[0] = float("inf")
    with stub(stalling) as server:
        closed = run_load(plan(server.port, measured_s=1.5))
    # 200 a second for the 0.4 s in which whoever came had to wait for 0.1 s or longer.
    assert opened.latencies.above(0.1) > 40
    assert opened.latencies.above(0.4) > 5
    assert not opened.errors
    # Of four clients that wait for their answers only four can be kept waiting.
    assert closed.latencies.above(0.4) <= 4


def test_every_answer_is_counted_once_and_under_its_own_kind() -> None:
    replies = {
        3: Reply(status=503, body="busy"),
        5: Reply(body='{"prediction_id":"of another event"}'),
        7: Reply(body=None),
    }

    def mixed(number: int) -> Reply:
        return replies.get(number % 10, right(number))

    with stub(mixed) as server:
        found = run_load(plan(server.port, keep_ids=True))
    asked = sorted(server.asked)
    assert asked == list(range(len(asked)))
    assert found.errors == {
        kind: sum(number % 10 == rest for number in asked)
        for kind, rest in (("status 503", 3), ("wrong", 5), ("cut", 7))
    }
    good = [number for number in asked if number % 10 not in replies]
    assert sorted(found.answered_ids) == good
    assert sorted(found.unanswered_ids) == sorted(set(asked) - set(good))
    assert found.versions == {"3": len(good)}
    assert found.latencies.total <= len(good)
    assert ("status 503", "busy") in {(each.kind, each.said) for each in found.failures}


def test_an_answer_that_closes_its_connection_is_no_error() -> None:
    with stub(lambda number: replace(right(number), close=True)) as server:
        found = run_load(plan(server.port, measured_s=0.2, keep_ids=True))
    assert not found.errors
    assert len(found.answered_ids) == len(server.asked) > 10


def test_an_open_loop_keeps_its_rate_whatever_the_answers() -> None:
    with stub(lambda number: Reply(status=500)) as server:
        found = run_load(plan(server.port, rate=500.0, measured_s=1.0))
    # The draws are the seed's: of 500 expected, 4 deviations either way.
    assert 410 <= len(server.asked) <= 590
    assert found.errors == {"status 500": len(server.asked)}
    assert found.answered == 0


def test_a_port_where_nobody_listens_refuses_each_request() -> None:
    with stub(right) as server:
        port = server.port
    found = run_load(plan(port, rate=50.0, measured_s=0.5, keep_ids=True))
    assert set(found.errors) == {"refused"}
    assert found.wrong == len(found.unanswered_ids) > 5


def test_a_score_is_checked_against_the_rows_own() -> None:
    rows = tuple(Template(body=f'"e-{n}"', score=n / 10) for n in range(4))
    with stub(lambda number: Reply(body=f'{{"score": {number / 10 + (number == 2) * 1e-4}}}')) as s:
        found = run_load(plan(s.port, templates=rows, check=Check(kind="score")))
    assert set(found.errors) == {"wrong"}
    assert found.errors["wrong"] == s.asked.count(2)
    assert "expected score 0.2" in found.failures[0].said


def test_it_ends_when_its_parent_closes_its_input_and_reports_intervals_before() -> None:
    with stub(right) as server, loading(
        plan(server.port, rate=200.0, measured_s=60, every_s=0.1, keep_ids=True)
    ) as load:
        reports = load.reports()
        first = [next(reports), next(reports)]
        load.stop()
        whole = list(reports)[-1]
    assert 0 < sum(report.answered for report in first) <= whole.answered
    assert whole.seconds < 60
    assert sorted(whole.answered_ids) == sorted(server.asked)


@given(st.lists(st.integers(0, 120), max_size=3), st.booleans())
def test_an_answer_is_read_whole_however_it_is_cut(cuts: list[int], chunked: bool) -> None:
    body = b'{"score": 0.25}'
    whole = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"7\r\n" + body[:7] + b"\r\n8;x=y\r\n" + body[7:] + b"\r\n0\r\n\r\n"
        if chunked else
        b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\nConnection: close\r\n\r\n" + body
    )
    for cut in cuts:
        assert cut >= len(whole) or parse(whole[:cut]) is None
    answer = parse(whole)
    assert answer is not None
    assert (answer.status, answer.body, answer.last) == (200, body, not chunked)


def test_the_processor_time_of_a_server_counts_children_that_have_ended() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
    with subprocess.Popen([sys.executable, "-c", f"{parent}print(1, flush=True); input()"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert process_tree.cpu_seconds(process.pid) >= 0.2
        private, resident = (ask(process.pid) for ask in (
            process_tree.private_mb, process_tree.resident_mb))
        assert 1 < private < resident
        process_tree.end(process.pid, patience_s=5)
    assert process.returncode != 0


# Peers


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_pinned_and_never_brings_a_torch_of_its_own(peer: Peer) -> None:
    text = peer.environment.requirements.read_text()
    lines = [line for line in text.splitlines() if line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+", line) for line in lines), lines
    names = {line.partition("==")[0].lower() for line in lines}
    assert "torch" not in names
    assert not any(name.startswith(("nvidia-cu", "triton")) for name in names)


def test_a_peer_that_is_not_installed_is_said_so_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path)
    with pytest.raises(environments.NotInstalled, match="--peers ray` makes it") as raised:
        chosen("ray")[0].environment.programs(create=False)
    line = Measurement(bench="b", ours=1, peer=None, unit="us", ratio=None, goal="2x", met=False,
                       equal=None, not_measured=str(raised.value))
    assert show([line], as_json=False) == 0
    assert capsys.readouterr().out.startswith("b: not measured, ")


def test_peers_are_chosen_by_name() -> None:
    assert chosen("all") == PEERS
    assert chosen("none") == ()
    assert [peer.name for peer in chosen("ray,asgi")] == ["ray", "asgi"]
    with pytest.raises(UnknownName, match="Closest: litserve"):
        chosen("litserv")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["bench", "serving", "--runs", "kils"], "there is no run 'kils'. Closest: kills."),
        (["bench", "serving", "--peers", "fastap"], "there is no peer 'fastap'"),
        (["bench", "start", "--peers", "all"], "--peers: for `bench serving` only"),
    ],
)
def test_a_wrong_choice_on_the_command_line_is_named(arguments: list[str], answer: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code in (1, 2)
    assert answer in result.output


# The real server. Slow: each process of it imports torch and MLflow.


@pytest.fixture(scope="module")
def made() -> Iterator[Installation]:
    with installed() as made:
        yield made


@pytest.mark.slow
def test_the_peers_model_scores_as_ours_does(made: Installation) -> None:
    from benchmarks.serving_load.peers.model import Exported

    exported = Exported(made.exported)
    rows = traffic.vectors(made.rows)[:200]
    together = exported.score([note for note, _ in rows], [numbers for _, numbers in rows])
    alone = [exported.score([note], [numbers])[0] for note, numbers in rows]
    assert together == pytest.approx(made.scores[:200], abs=1e-5)
    assert alone == pytest.approx(made.scores[:200], abs=1e-5)
    assert 0.2 < sum(made.scores) / len(made.scores) < 0.8


def test_sigterm_ends_a_benchmark_as_ctrl_c_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []

    def measure(*, quick: bool) -> Iterator[Measurement]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            yield from ()
        finally:
            ended.append("in order")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("benchmarks.start.measure", measure)
    assert CliRunner().invoke(main, ["bench", "start"]).exit_code == 128 + signal.SIGTERM
    assert ended == ["in order"]
    assert signal.getsignal(signal.SIGTERM) is before


SERVING = """
import time
from benchmarks.serving_load import ours
from benchmarks.serving_load.installation import installed
from ml_assets.bench import stopped_by_sigterm
with stopped_by_sigterm(), installed() as made, ours.serving(made) as server:
    print(server.pid, flush=True)
    time.sleep(60)
"""


@pytest.mark.slow
def test_sigterm_leaves_no_server_and_no_scratch_folder(tmp_path: Path) -> None:
    bench = subprocess.Popen([sys.executable, "-c", SERVING], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "TMPDIR": str(tmp_path)})
    assert bench.stdout is not None
    server = int(bench.stdout.readline())
    assert list(tmp_path.glob("ml-assets-bench-*"))
    bench.terminate()
    assert bench.wait(30) == 128 + signal.SIGTERM
    bench.stdout.close()
    assert not Path(f"/proc/{server}").exists()
    assert not list(tmp_path.glob("ml-assets-bench-*"))  # torch leaves a folder of its own


@pytest.mark.slow
def test_restarts_on_one_socket_refuse_nobody(made: Installation) -> None:
    """Uvicorn cuts requests that reach an idle connection while it drains: the bench counts."""
    found = restart_often(made, times=1)
    assert set(found.outcome.errors) <= {"cut"}
    assert found.killed == 0
    assert found.outcome.answered > 100


@pytest.mark.slow
def test_a_soak_reports_memory_and_latency_over_time(made: Installation) -> None:
    found = soak(made, minutes=0.1)
    assert len(found.points) in (5, 6)
    assert all(point.resident_mb > point.private_mb > 50 for point in found.points)
    assert all(point.p50_ms > 0 for point in found.points)
    assert all(point.server_us > point.generator_us for point in found.points)
    assert not found.outcome.errors


@pytest.mark.slow
def test_an_answer_of_the_real_server_is_taken_for_right(made: Installation) -> None:
    with ours.serving(made) as server:
        asked = ours.plan(made, server, "e-", measured_s=1.0)
        first = Events(asked).body(0)
        status, body = server.post(ours.PATH, first)
        assert (status, server.post(ours.PATH, first)[1]) == (200, body)
        assert '"degraded":false' in body
        found = run_load(asked)
    assert not found.errors
    assert set(found.versions) == {"1", "3"} or set(found.versions) == {"2", "3"}
    assert found.server_cpu_s > 0
