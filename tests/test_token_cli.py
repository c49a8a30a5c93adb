"""`ml-assets token` shows a secret once, and answers mistakes in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml_assets.cli import main
from ml_assets.core.settings import Settings
from ml_assets.serving.access.doorkeeper import Doorkeeper, ListenRefused, require_tokens
from tests.places import cluster_at, environment, file_of


@pytest.fixture
def settings(settings_of_each: Settings) -> Settings:
    return settings_of_each


def run(settings: Settings, *words: str) -> Result:
    return CliRunner().invoke(main, ["token", *words], env=environment(settings))


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


def test_a_token_that_expires_is_listed_with_what_is_left_and_rotated(settings: Settings) -> None:
    made = run(settings, "create", "shop", "--scope", "predict", "--expires", "90d")
    assert "of 'shop' until 2" in made.stderr
    assert "(in 90 days)" in run(settings, "list").output
    anew = run(settings, "rotate", "shop", "--grace", "12h", "--expires", "2w")
    assert anew.exit_code == 0, anew.output
    assert "The old one remains valid until 2" in anew.stderr
    old, new = run(settings, "list").output.splitlines()
    assert "(in 12 hours)" in old
    assert "(in 14 days)" in new
    door = Doorkeeper(settings)
    for shown in (made.stdout.strip(), anew.stdout.strip()):
        assert door.admit("/v1/toy/predict", f"Bearer {shown}".encode()) is not None
        assert shown.split("_", 2)[2] not in run(settings, "list").output
    assert "has ended" in run(settings, "rotate", "shop", "--grace", "0d").stderr
    assert [", expired 2" in line for line in run(settings, "list").output.splitlines()] == [
        True, True, False]
    assert run(settings, "revoke", "shop").output.count("is revoked") == 1


@pytest.mark.parametrize(("words", "says"), [
    (("create", "x"), "Missing option '--scope'"),
    (("create", "x", "--scope", "root"), "'root' is not one of"),
    (("create", " ", "--scope", "predict"), "name the holder"),
    (("create", "x", "--scope", "predict", "--source", "buyer"), "add --scope feedback"),
    (("create", "x", "--scope", "predict", "--expires", "soon"), "'soon' is not a time span"),
    (("create", "x", "--scope", "predict", "--expires", "0d"), "the token would never be valid"),
    (("rotate", "nobody"), "there is no token in force 'nobody'"),
    (("revoke", "nobody"), "there is no token in force 'nobody'"),
])
def test_mistakes_are_answered_in_words(
    settings: Settings, words: tuple[str, ...], says: str
) -> None:
    result = run(settings, *words)
    assert result.exit_code != 0
    assert says in result.output
    assert "Traceback" not in result.output


def test_tokens_of_a_file_are_moved_to_the_database_and_open_what_they_did(
    tmp_path: Path, postgres_url: str, objects_url: str
) -> None:
    """Until then the host does not start, as its callers would be let in by nothing or by all."""
    local = Settings(var=tmp_path / "var")
    settings = replace(local, cluster=cluster_at(postgres_url, objects=objects_url))
    shown = run(local, "create", "till", "--scope", "feedback", "--source", "buyer").stdout.strip()
    run(local, "create", "gone", "--scope", "predict")
    run(local, "revoke", "gone")
    listed = run(local, "list").output
    with pytest.raises(ListenRefused, match="`ml-assets token import`"):
        require_tokens(settings)
    moved = run(settings, "import")
    assert moved.exit_code == 0, moved.output
    assert moved.output.startswith("2 tokens of ")
    assert run(settings, "list").output == listed
    require_tokens(settings)
    assert not file_of(local.tokens).exists()
    assert Doorkeeper(settings).admit("/v1/toy/feedback", f"Bearer {shown}".encode()) is not None
    assert "there is nothing to import" in run(settings, "import").output
