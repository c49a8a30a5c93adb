"""The OpenAPI description and the running server agree, says a tool that tries to part them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ml_assets.core.errors import Quarantined
from ml_assets.core.settings import Settings
from ml_assets.core.source import Event, Request
from ml_assets.serving.access.token import SCOPES
from ml_assets.serving.access.tokens import Tokens
from tests.serving.kit import Toy, serving
from tests.toy import TOY, ToySource, with_stream

SECONDS = 15
CONFIG = """
[[operations]]
include-name = "POST /v1/toy/predict"
# No schema can say that an event must not lie in the future.
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/toy/predict/batch"
# An event that is none is refused in its place, in an answer whose status is 200.
checks.negative_data_rejection.enabled = false

[[operations]]
include-name = "POST /v1/toy/events/visits"
# The same instants.
checks.positive_data_acceptance.enabled = false

[[operations]]
include-name = "POST /v1/toy/events/visits/batch"
# The same answers.
checks.negative_data_rejection.enabled = false

[[operations]]
include-name = "POST /v1/toy/feedback/batch"
# The same answers.
checks.negative_data_rejection.enabled = false
"""


class DescribedSource(ToySource):
    """Says what it takes, as a system's own source does."""

    request_schema = {  # noqa: RUF012
        "type": "object",
        "required": ["amount"],
        "properties": {
            "amount": {"type": "number", "minimum": 0},
            "shop": {"type": "string"},
            "note": {"type": "string", "maxLength": 1000},
        },
    }

    def parse(self, request: Request) -> Event:
        for name, wanted in (("shop", str), ("note", str), ("amount", int | float)):
            value = request.get(name, 0 if name == "amount" else "")
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise Quarantined(f"{name} is {value!r}; expected a {wanted}")
        return super().parse(request)


@pytest.mark.slow
def test_schemathesis_finds_no_difference_between_description_and_server(
    settings: Settings, tmp_path: Path
) -> None:
    """Valid, invalid and hostile requests to every call: with a token of all scopes."""
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    toy = Toy(settings=settings, system=with_stream(TOY, source=DescribedSource()))
    toy.deploy(1)
    _, token = Tokens(settings.tokens).create(
        "schemathesis", SCOPES, ["buyer"], datetime(2024, 1, 8, tzinfo=UTC))
    with serving(toy) as api:
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{api.base_url}/openapi.json",
             "--header", f"Authorization: Bearer {token}", "--max-time", str(SECONDS),
             "--seed", "1", "--no-color", "--continue-on-failure"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=SECONDS * 4,
        )
        assert done.returncode == 0, done.stdout[:20_000] + done.stderr[-2000:]
        assert api.get("/readyz").json()["ready"]
