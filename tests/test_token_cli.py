"""`ml-assets token` shows a secret once, and answers mistakes in words."""

from __future__ import annotations

import pytest
from click.testing import CliRunner, Result

from ml_assets.cli import main
from ml_assets.core.settings import Settings
from ml_assets.serving.security import Doorkeeper


def run(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(main, ["token", *words], env={"ML_ASSETS_VAR": str(settings.var)})


def test_a_token_is_shown_once_alone_on_standard_output_listed_and_revoked(
    settings: Settings
) -> None:
    assert "no tokens" in run(settings, "list").output
    made = run(settings, "create", "till", "--scope", "feedback", "--scope", "predict",
               "--source", "buyer")
    assert made.exit_code == 0, made.output
    shown = made.stdout.strip()
    assert "not shown again" in made.stderr
    token = Doorkeeper(settings).admit("/v1/toy/feedback", f"Bearer {shown}".encode())
    assert token is not None
    assert (token.scopes, token.sources) == (("predict", "feedback"), ("buyer",))
    listed = run(settings, "list").output
    assert "till: predict, feedback, speaks as buyer; created" in listed
    assert shown.split("_", 2)[2] not in listed
    assert "is revoked" in run(settings, "revoke", "till").output
    assert ", revoked 2" in run(settings, "list").output


@pytest.mark.parametrize(("words", "says"), [
    (("create", "x"), "Missing option '--scope'"),
    (("create", "x", "--scope", "root"), "'root' is not one of"),
    (("create", " ", "--scope", "predict"), "name whoever will hold it"),
    (("create", "x", "--scope", "predict", "--source", "buyer"), "add --scope feedback"),
    (("revoke", "nobody"), "there is no token in force 'nobody'"),
])
def test_mistakes_are_answered_in_words(
    settings: Settings, words: tuple[str, ...], says: str
) -> None:
    result = run(settings, *words)
    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output
