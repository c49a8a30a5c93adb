"""What serving a prediction costs beside other servers, and what it survives.

The parts lie in `serving_load/`, how to read the figures in `docs/benchmarks-serving.md`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import nan
from statistics import median

from benchmarks.environments import NotInstalled
from benchmarks.serving_load import ours, speed
from benchmarks.serving_load.installation import Installation, installed
from benchmarks.serving_load.kills import kill_often
from benchmarks.serving_load.peer import Peer, chosen
from benchmarks.serving_load.plan import Check
from benchmarks.serving_load.report import PATH, Report
from benchmarks.serving_load.restarts import restart_often
from benchmarks.serving_load.servers import ServerFailed, is_up, running, start_noop
from benchmarks.serving_load.soak import plot, soak
from benchmarks.serving_load.speed import FULL, QUICK, Meter, Series, Target
from benchmarks.serving_load.swaps import WANTED_RATE, swap_often
from benchmarks.serving_load.traffic import ENTITIES
from ml_assets.bench import Measurement
from ml_assets.core.errors import unknown

GOAL_US = 120
GOAL_GENERATOR = 10_000
GOAL_P50 = 2.0
GROWTH = 0.05
"""Memory or latency that has grown by more than this is not flat."""
RUNS = ("speed", "kills", "swaps", "restarts", "soak")


def measure(
    *, quick: bool, peers: str | None = None, runs: str | None = None, minutes: float = 60
) -> Iterator[Measurement]:
    """The chosen runs, one after the other; `var/benchmarks/serving.json` then has all figures.

    peers, runs: comma-separated, see `ml-assets bench --help`. Missing peer environments are
    created, except in a quick run for peers that were not named.
    Raises UnknownName for an unknown peer or run.
    peers, runs: by comma, see `ml-assets bench --help`. Environments of peers are made if
    they are missing, except if it must be quick and they were not asked for by name.
    """
    wanted = (runs or ("speed,kills,swaps" if quick else "speed,kills,swaps,restarts")).split(",")
    for name in wanted:
        if name not in RUNS:
            raise unknown("run", name, RUNS)
    others = chosen(peers or ("asgi,fastapi" if quick else "all"))
    report = Report(quick=quick)
    try:
        with installed() as made:
            if "speed" in wanted:
                meter = Meter(QUICK if quick else FULL)
                yield from _speed(made, meter, report)
                for peer in others:
                    yield _beside(peer, meter, report, create=not quick or bool(peers))
            if "kills" in wanted:
                yield from _kills(made, report, times=1 if quick else 10)
            if "swaps" in wanted:
                yield _swaps(made, report, times=3 if quick else 30)
            if "restarts" in wanted:
                yield _restarts(made, report, times=1 if quick else 10)
            if "soak" in wanted:
                yield from _soak(made, report, minutes)
    finally:
        report.write()


def _speed(made: Installation, meter: Meter, report: Report) -> Iterator[Measurement]:
    """Ours alternating with the no-op."""
    control = Target(name="no-op", path="/", templates=made.templates, entities=ENTITIES,
                     check=Check(kind="status"))
    mine = ours.target(made)
    noop_full, full = Series(rate_asked=None), Series(rate_asked=None)
    noop = start_noop(made.settings.var / "logs" / "noop.log")
    with running(noop, lambda: is_up(noop.port, "/", "{}")), ours.serving(made) as server:
        speed.alternately(meter.effort.rounds, [
            lambda: meter.saturate(noop, control, noop_full),
            lambda: meter.saturate(server, mine, full),
        ])
        quarter = Series(rate_asked=full.rate / 4)
        noop_quarter = Series(rate_asked=full.rate / 4)
        speed.alternately(meter.effort.rounds, [
            lambda: meter.ask(noop, control, noop_quarter),
            lambda: meter.ask(server, mine, quarter),
        ])
    report.add("speed", "no-op", saturated=noop_full, quarter=noop_quarter)
    report.add("speed", "ours", saturated=full, quarter=quarter)
    yield from _ours(noop_full, full, noop_quarter, quarter)


def _ours(
    noop_full: Series, full: Series, noop_quarter: Series, quarter: Series
) -> Iterator[Measurement]:
    ceiling = 1e6 / noop_full.generator_us
    yield _line(
        "the load generator, on one core", ceiling, unit="requests/s",
        goal=f"at least {GOAL_GENERATOR:,}", met=ceiling >= GOAL_GENERATOR,
        note=f"it got {noop_full.rate:,.0f} requests/s out of the no-op",
    )
    yield _line(
        "CPU per request at saturation (beside: the no-op)", full.server_us,
        peer=noop_full.server_us, unit="us", goal=f"at most {GOAL_US} us",
        met=full.server_us <= GOAL_US, note=f"{full.rate:,.0f} requests/s",
    )
    at = f"{quarter.rate:,.0f} requests/s"
    yield _line(
        "CPU per request at a quarter of saturation (beside: the no-op)", quarter.server_us,
        peer=noop_quarter.server_us, unit="us", note=at,
    )
    yield _line(
        "p50 at a quarter of saturation (beside: the no-op)", quarter.p50_ms,
        peer=noop_quarter.p50_ms, unit="ms", goal=f"at most {GOAL_P50:g}x the no-op's",
        met=quarter.p50_ms <= GOAL_P50 * noop_quarter.p50_ms, note=at,
    )
    for share, name in ((0.99, "p99"), (0.999, "p99.9")):
        mine, control = (series.latencies.quantile_ms(share) for series in (quarter, noop_quarter))
        yield _line(f"{name} at a quarter of saturation (beside: the no-op)", mine, peer=control,
                    unit="ms", note=at)
    yield _none("errors at saturation and at a quarter of it",
                sum([*full.errors.values(), *quarter.errors.values()]),
                note=_told(full.errors | quarter.errors))


def _beside(peer: Peer, meter: Meter, report: Report, *, create: bool) -> Measurement:
    """One peer at saturation, alternating with ours, and at a quarter of its own rate.

    Its scores are compared with ours. What ours costs depends on earlier requests: beside
    each peer it starts with a fresh installation.
    """
    bench = f"CPU per request at saturation (beside: {peer.title})"
    goal = f"at least {peer.factor:g}x below" if peer.factor else "none, for information"
    mine, full = Series(rate_asked=None), Series(rate_asked=None)
    try:
        programs = peer.environment.programs(create=create)
        with installed() as made, ours.serving(made) as server:
            target = Target(name=peer.name, path=peer.path, check=peer.check,
                            templates=peer.templates(made.rows, made.scores))
            other = peer.start(programs, made.exported, made.settings.var / "logs" / peer.name)
            first = target.templates[0].body
            with running(other, lambda: is_up(other.port, peer.path, first)):
                furthest = speed.furthest(other, target)
                speed.alternately(meter.effort.rounds, [
                    lambda: meter.saturate(other, target, full),
                    lambda: meter.saturate(server, ours.target(made), mine),
                ])
                quarter = Series(rate_asked=full.rate / 4)
                for _ in range(meter.effort.rounds):
                    meter.ask(other, target, quarter)
    except (NotInstalled, ServerFailed, OSError) as error:
        report.note("speed", peer.name, {"not_measured": str(error)})
        return _line(bench, nan, unit="us", goal=goal, met=False, not_measured=str(error))
    report.add("speed", peer.name, saturated=full, quarter=quarter, ours_saturated=mine)
    report.note("speed", peer.name, {"title": peer.title, "furthest_score": furthest})
    note = f"{full.rate:,.0f} requests/s{_told(full.errors | quarter.errors | mine.errors)}"
    return _line(
        bench, mine.server_us, peer=full.server_us, unit="us", goal=goal, note=note,
        met=peer.factor is None or full.server_us >= peer.factor * mine.server_us,
        equal=furthest <= peer.check.tolerance and not full.errors.get("wrong"),
    )


def _kills(made: Installation, report: Report, *, times: int) -> Iterator[Measurement]:
    found = kill_often(made, times=times)
    acknowledged = len(found.acknowledged)
    report.note("kills", "ours", {**vars(found), "acknowledged": acknowledged})
    note = (f"{times} kills under load, {acknowledged:,} acknowledged, {found.interrupted} "
            "interrupted and sent again")
    yield _none("acknowledged predictions lost by kill -9", found.lost, note=note)
    yield _none("predictions counted twice by kill -9", found.counted_twice,
                note=f"{note}; {found.compared:,} entities compared")
    yield _none("other answers or errors around kill -9", found.changed + found.errors, note=note)


def _swaps(made: Installation, report: Report, *, times: int) -> Measurement:
    found = swap_often(made, times=times)
    report.note("swaps", "ours", {**vars(found), "outcome": found.outcome.told()})
    enough = found.rate_asked >= WANTED_RATE
    return _none(
        f"errors in hot swaps at {WANTED_RATE:,.0f} requests/s", found.outcome.wrong,
        met=enough and not found.outcome.wrong and len(found.outcome.versions) == 3,
        note=f"{times} swaps at {found.outcome.rate:,.0f} requests/s"
        f"{'' if enough else ': the server takes no more'}; a swap took at most "
        f"{found.slowest_s:.2f} s{_told(found.outcome.errors)}",
    )


def _restarts(made: Installation, report: Report, *, times: int) -> Measurement:
    found = restart_often(made, times=times)
    report.note("restarts", "ours", {**vars(found), "outcome": found.outcome.told()})
    return _none(
        "errors in rolling restarts", found.outcome.wrong + found.killed,
        note=f"{times} restarts at {found.outcome.rate:,.0f} requests/s; an old process ended "
        f"within {found.slowest_s:.1f} s{_told(found.outcome.errors)}",
    )


def _soak(made: Installation, report: Report, minutes: float) -> Iterator[Measurement]:
    found = soak(made, minutes=minutes)
    plot(found, PATH.with_name("serving-soak.png"))
    report.note("soak", "ours", {
        "minutes": minutes, "rate_asked": found.rate_asked, "outcome": found.outcome.told(),
        "memory_growth": found.memory_growth, "latency_growth": found.latency_growth,
        "cpu_growth": found.cpu_growth, "control_growth": found.control_growth,
        "points": [vars(point) for point in found.points],
    })
    note = f"{minutes:g} minutes at {found.outcome.rate:,.0f} requests/s"
    memory = median(point.private_mb for point in found.points)
    resident = found.points[-1].resident_mb
    for name, growth in (("private memory", found.memory_growth), ("p50", found.latency_growth)):
        yield _line(
            f"growth of {name} in a soak at half load", 100 * growth, unit="%",
            goal=f"at most {GROWTH:.0%} from the second quarter of the time to the last",
            met=growth <= GROWTH, note=f"{note}, {memory:.0f} MB private, at the end "
            f"{resident:.0f} MB resident",
        )
    yield _line(
        "growth of CPU per request in a soak at half load", 100 * found.cpu_growth, unit="%",
        note=f"the generator's, which does the same work: {found.control_growth:+.1%}",
    )
    yield _none("errors in a soak at half load", found.outcome.wrong,
                note=note + _told(found.outcome.errors))


def _line(
    bench: str, figure: float, *, unit: str, peer: float | None = None,
    goal: str = "none, for information", met: bool = True, equal: bool | None = None,
    note: str = "", not_measured: str | None = None,
) -> Measurement:
    return Measurement(
        bench=f"serving: {bench}", ours=figure, peer=peer, unit=unit,
        ratio=None if peer is None else peer / figure, goal=goal, met=met, equal=equal, note=note,
        not_measured=not_measured,
    )


def _none(bench: str, found: int, *, note: str = "", met: bool | None = None) -> Measurement:
    """Something that must not occur at all."""
    return _line(bench, found, unit="times", goal="never", note=note,
                 met=not found if met is None else met)


def _told(errors: Mapping[str, int]) -> str:
    said = ", ".join(f"{count} {kind}" for kind, count in sorted(errors.items()))
    return f"; errors: {said}" if said else ""
