"""Hostile requests through both ways in: a short run of what `ml-assets bench fuzz` does."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from click.testing import CliRunner

from benchmarks.door_fuzz import cases, fuzzing
from benchmarks.door_fuzz.cases import KINDS, case
from ml_assets.cli import main
from ml_assets.serving.answer.feedback import FeedbackIntake
from ml_assets.serving.answer.latest_scores import LatestScores
from ml_assets.serving.answer.served_system import ServedSystem
from ml_assets.serving.contract import decoding
from ml_assets.serving.contract.protocol import PredictAnswer
from ml_assets.serving.http.bodies import predictions
from ml_assets.serving.http.bodies.predictions import Predictions
from ml_assets.serving.http.connection import fast_path as direct
from ml_assets.serving.http.responses import answer_of


def test_no_request_of_any_kind_parts_the_two_ways_or_harms_its_neighbours() -> None:
    found = fuzzing.fuzz(cases=900, seed=12)
    assert not found.faults, "\n".join(map(str, found.faults[:5]))
    assert (found.cases, found.honest) == (900, 300)
    assert set(found.statuses) == set(KINDS)
    assert found.batched > 1.5, "requests were not answered together: nothing was tried out"


def test_a_case_follows_from_its_seed_and_number_alone() -> None:
    known = ["a", "b"]
    some = [case(3, number, known) for number in range(200)]
    assert some == [case(3, number, known) for number in range(200)]
    assert len({each.sent for each in some}) > 190
    assert some != [case(4, number, known) for number in range(200)]


# --- it finds what it is for ------------------------------------------------------------------


def faults_of(seed: int = 1, count: int = 300) -> Mapping[str, int]:
    found = fuzzing.fuzz(cases=count, seed=seed)
    kinds: dict[str, int] = {}
    for fault in found.faults:
        kinds[fault.what] = kinds.get(fault.what, 0) + 1
    return kinds


def test_it_finds_a_decoder_whose_fault_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was: an error that is not foreseen fails the whole batch."""
    decode = decoding.decode

    def strict(decoder: object, body: bytes) -> object:
        bytes(body).decode()
        return decode(decoder, body)  # type: ignore[arg-type]

    answer = Predictions.answer

    def all_or_nothing(
        self: Predictions, system: ServedSystem, bodies: list[bytes], *, waits: bool = True
    ) -> object:
        for body in bodies:
            strict(predictions.ONE, body)
        return answer(self, system, bodies, waits=waits)

    monkeypatch.setattr(Predictions, "answer", all_or_nothing)
    found = faults_of()
    assert found["an answer of 5xx"]
    assert found["an honest neighbour was harmed"]
    assert found["a traceback in the log"]


def test_it_finds_ways_that_differ_by_a_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    def other(answer: PredictAnswer) -> object:
        response = answer_of(answer)
        response.body = bytes(response.body).replace(b'"degraded":false', b'"degraded":true ')
        return response

    monkeypatch.setattr(direct, "answer_of", other)
    assert set(faults_of()) == {"the two ways differ", "an honest neighbour was harmed"}


def test_it_finds_an_answer_that_tells_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def telling(self: LatestScores, key: str) -> object:
        [(_, _, where)] = self._state._connect().execute("pragma database_list")
        raise decoding.RequestRefused(404, "x", f"no {key} in {where}")

    monkeypatch.setattr(LatestScores, "read", telling)
    monkeypatch.setattr(cases, "KINDS", {"scores": KINDS["scores"]})
    assert "an answer tells of the server" in faults_of(count=30)


@pytest.mark.parametrize(("cases", "status"), [(60, 0), (90, 1)])
def test_the_command_ends_with_1_if_there_is_a_fault(
    cases: int, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status:
        monkeypatch.setattr(FeedbackIntake, "add", lambda *_, **__: 1 / 0)
    done = CliRunner().invoke(main, ["bench", "fuzz", "--cases", str(cases), "--seed", "7"])
    assert done.exit_code == status, done.output
    assert f"{cases} cases of seed 7" in done.output
    assert ("MISSED" if status else "met") in done.output
