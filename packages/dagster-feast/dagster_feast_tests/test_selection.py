"""The small language that selects some of a repository."""

from __future__ import annotations

import pytest

from dagster_feast import (
    FeastDeclarationError,
    FeastManifest,
    UnknownFeastName,
    select_nodes,
)
from dagster_feast.selection import Selection


@pytest.mark.parametrize(("select", "expected"), [
    ("driver_stats", "driver_stats"),
    ("driver_s*", "driver_stats driver_summary"),
    ("view:driver_stats service:pairs", "driver_stats pairs"),
    (["view:driver_stats", "service:pairs"], "driver_stats pairs"),
    ("source:trip*", "trips trip_push"),
    ("tag:system", "driver_stats"),
    ("tag:system=fraud", "driver_stats"),
    ("kind:stream", "driver_clicks driver_windows"),
    ("kind:service", "ranking pairs"),
    ("kind:loadable,driver_t*", "driver_trips"),
    ("+service:pairs", "trips driver_stats pairs"),
    ("+driver_summary", "ratings driver_trips driver_summary"),
    ("driver_trips+", "driver_trips driver_summary"),
    ("kind:loadable,+service:ranking", "driver_stats driver_windows"),
    ("+ride_score+", "trips driver_stats ride_score ranking"),
])
def test_a_selection_means_what_the_table_says(
    manifest: FeastManifest, select: Selection, expected: str
) -> None:
    assert {node.name for node in select_nodes(manifest, select)} == set(expected.split())


def test_nothing_said_selects_everything(manifest: FeastManifest) -> None:
    assert select_nodes(manifest) == manifest.nodes


def test_what_is_excluded_is_left_out(manifest: FeastManifest) -> None:
    found = select_nodes(manifest, "+service:ranking", "kind:source tag:system=fraud")
    assert {node.name for node in found} == {"driver_windows", "ride_score", "driver_fraud",
                                             "ranking"}


def test_parents_come_before_children(manifest: FeastManifest) -> None:
    names = [node.name for node in select_nodes(manifest, "+service:ranking +driver_summary")]
    for name in names:
        for node in manifest.nodes:
            if node.name == name:
                for parent in node.parents:
                    assert names.index(parent.name) < names.index(name)


def test_an_unknown_name_is_answered_with_the_closest(manifest: FeastManifest) -> None:
    with pytest.raises(UnknownFeastName, match=r"no service 'rankin'\. Closest: ranking"):
        select_nodes(manifest, "+service:rankin")
    with pytest.raises(UnknownFeastName, match="Closest: driver_stats"):
        select_nodes(manifest, exclude="driver_stat")


@pytest.mark.parametrize(("select", "words"), [
    ("tag:system=spam", "'tag:system=spam' selects nothing"),
    ("kind:streams", "cannot read 'kind:streams'.*plain, batch, stream"),
    ("colour:blue", "cannot read 'colour:blue'.*expected a name"),
    ("", "the selection is empty"),
])
def test_a_selection_that_makes_no_sense_is_refused(
    manifest: FeastManifest, select: str, words: str
) -> None:
    with pytest.raises(FeastDeclarationError, match=words):
        select_nodes(manifest, select)
