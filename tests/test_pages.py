"""What the README and the pages of docs/ name is there: files, classes, commands, addresses."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import click
import msgspec
import pytest

import ml_assets
from ml_assets.core.settings import ROOT, Settings
from ml_assets.definitions import defs
from ml_assets.features.manifest import load_manifest
from ml_assets.serving.contract.openapi import openapi
from ml_assets.systems import SYSTEMS
from tests.pages import PAGES, Shown, code, relative, require_valid, shown
from tests.tracks import TRACKS

SOURCE = "\n".join(path.read_text() for folder in ("ml_assets", "feature_repo", "benchmarks")
                   for path in sorted((ROOT / folder).rglob("*.py")))
MAKEFILE = (ROOT / "Makefile").read_text()
COMMANDS = [each for page in PAGES for each in shown(page)]
CALLS = [each for each in COMMANDS if each.words[0] == "curl"
         and "localhost:8080" in each.command and "/metrics" not in each.command]

TEACHING = {"payments_1d", "amount_mean_30d", "fraud_rate_90d", "looks_1d"}
"""Features of examples."""

SUFFIXES = ("py", "md", "json", "yaml", "sqlite", "toml", "lmdb", "lock")

FEASTS_OWN = {"store.push"}
"""Names that look like ours: Feast's `FeatureStore.push`."""

page_by_page = pytest.mark.parametrize("page", PAGES)


@page_by_page
def test_every_link_leads_to_a_file_and_a_heading(page: str) -> None:
    for link in re.findall(r"\]\((?!http)([^)]+)\)", PAGES[page]):
        name, _, anchor = link.partition("#")
        target = relative(page, name) if name else ROOT / page
        assert target.exists(), link
        headings = re.findall(r"^#+ (.*)", target.read_text() if anchor else "", re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, link


@page_by_page
def test_every_class_path_can_be_imported(page: str) -> None:
    """Also in examples: `feature_store.yaml` names stores by them."""
    for path in sorted(set(re.findall(r"\bml_assets(?:\.\w+)+", PAGES[page]))):
        assert found(path) or f'"{path}"' in SOURCE, path  # a span's attribute looks like one too


@page_by_page
def test_every_attribute_in_the_text_exists(page: str) -> None:
    """`Model.holdout`, `declaration.check`: a class or a module of ours, and its part."""
    text = "\n".join(code(page))
    for owner, name in re.findall(r"^(\w+)\.(\w+)(?:\(.*\))?$", text, re.MULTILINE):
        if f"{owner}.{name}" in FEASTS_OWN or name in SUFFIXES:
            continue
        homes = owners().get(owner, [])
        assert not homes or any(has(home, name) for home in homes), f"{owner}.{name}"


@page_by_page
def test_every_file_in_the_text_exists(page: str) -> None:
    """Below the checkout or the package; of the state in `var/` the code must know the name."""
    for name in code(page):
        if not re.fullmatch(r"[\w./<>-]*(?:\w\.(?:py|md|json|yaml|sqlite|png|html|txt)|\w/)", name):
            continue
        pattern = re.sub(r"<\w+>", "*", name.strip("/"))
        last = pattern.split("/")[-1]
        places = [place for folder in (ROOT, ROOT / "ml_assets") for place in folder.glob(pattern)]
        anywhere = "/" not in pattern and any(
            path for folder in ("ml_assets", "tests", "feature_repo", "docs")
            for path in (ROOT / folder).rglob(pattern))
        assert places or anywhere or f'"{last}"' in SOURCE or f"{last}\"" in SOURCE, name


@page_by_page
def test_every_command_line_of_ours_is_understood(page: str) -> None:
    """In the text, in console blocks and in plain ones: command, options and their values."""
    lines = [each.words for each in shown(page)]
    lines += [line.split() for line in code(page)]
    lines += [line.partition("  #")[0].split()
              for line in re.findall(r"^ml-assets .*", PAGES[page], re.MULTILINE)]
    for words in lines:
        if words[:1] == ["ml-assets"]:
            text = re.sub(r"<[^>]*>", "x", " ".join(words[1:]))
            try:
                require_valid([{"N": "1"}.get(word, word) for word in text.split()])
            except click.MissingParameter:
                assert words in [line.split() for line in code(page)], words  # named in passing
            except click.UsageError as error:
                pytest.fail(f"{' '.join(words)}: {error.format_message()}")


@page_by_page
def test_every_make_target_in_the_text_exists(page: str) -> None:
    named = re.findall(r"(?:`|^\$ )make (\w+)", PAGES[page], re.MULTILINE)
    assert set(named) <= set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))


@page_by_page
def test_every_variable_and_metric_is_known_to_the_code(page: str) -> None:
    for name in set(re.findall(r"ML_ASSETS_[A-Z_]+\b", PAGES[page])):
        assert name in SOURCE, name
    for name in set(re.findall(r"\bml_assets_[a-z_]+\b", PAGES[page])):
        bare = re.sub(r"_(total|count)$", "", name)
        assert bare in SOURCE or bare.removeprefix("ml_assets_") in SOURCE, name


@page_by_page
def test_every_view_and_feature_in_the_text_is_declared(page: str) -> None:
    manifest = load_manifest(Settings())
    features = {name for service in manifest.services.values() for name in service.features}
    names = {*manifest.feast.views, *manifest.services, *features, *TEACHING,
             *(job.name for job in defs.get_repository_def().get_all_jobs())}
    said = set(re.findall(r"\b(?:spam_[a-z_]+|[a-z]\w*_\d+d)\b", PAGES[page]))
    assert said <= names


@pytest.mark.slow  # Feast takes seconds to import
@pytest.mark.filterwarnings("ignore")
def test_every_feast_command_is_understood() -> None:
    from feast.cli.cli import cli

    commands = [words[words.index("feast"):] for each in COMMANDS
                if "feast" in (words := each.words)]
    assert len(commands) > 5
    for _, name, *rest in commands:
        cli.commands[name].make_context(name, list(rest))


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.page} {call.words[-1][:40]}")
def test_every_call_of_the_api_is_one_and_gets_such_an_answer(call: Shown) -> None:
    """The address and method exist, bodies are JSON, and answers have the described fields."""
    words = call.words
    address = next(word for word in words if word.startswith("localhost:8080"))
    method = "post" if "-d" in words else "get"
    described = operation(urlsplit(f"//{address}").path or "/", method)
    if method == "post":
        body = json.loads(words[words.index("-d") + 1].replace("\n", " "))
        schema = resolved(described["requestBody"]["content"]["application/json"]["schema"])
        assert set(schema["required"]) <= set(body) <= set(schema["properties"])
    answer = call.output[call.output.find("{"):] if "{" in call.output else ""
    if answer:
        told = json.loads(re.sub(r"\n *", "", answer))
        if "error" in told:
            assert {"code", "message"} <= set(told["error"]) <= {"code", "message", "field"}
            return
        schema = resolved(described["responses"]["200"]["content"]["application/json"]["schema"])
        assert set(schema["required"]) <= set(told) <= set(schema["properties"])


def found(path: str) -> bool:
    """Whether a dotted path is a module, or a part of one."""
    parts = path.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            place: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for name in parts[cut:]:
            if not has(place, name):
                return False
            place = getattr(place, name, None)
        return True
    return False


def has(home: Any, name: str) -> bool:
    return hasattr(home, name) or name in getattr(home, "__annotations__", {})


@cache
def owners() -> dict[str, list[Any]]:
    """Our modules by their last names and our classes by theirs."""
    known: dict[str, list[Any]] = {}
    for module in modules():
        known.setdefault(module.__name__.rpartition(".")[2], []).append(module)
        for name, kind in vars(module).items():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                known.setdefault(name, []).append(kind)
    return known


def modules() -> Iterator[Any]:
    for module in pkgutil.walk_packages(ml_assets.__path__, "ml_assets."):
        if not module.name.endswith("__main__"):
            yield importlib.import_module(module.name)


@cache
def description() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(openapi((*SYSTEMS, TRACKS)))
    return found


def operation(path: str, method: str) -> dict[str, Any]:
    for template, operations in description()["paths"].items():
        pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(template))
        if re.fullmatch(pattern, path) and method in operations:
            chosen: dict[str, Any] = operations[method]
            return chosen
    raise AssertionError(f"the API has no {method} {path}")


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = description()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return {"required": [], "properties": {}} | schema
