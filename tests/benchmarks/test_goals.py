"""What counts as a goal that is met."""

from benchmarks.feature_store.goals import against, below, told


def test_a_cost_so_many_times_less_than_the_peers_meets_its_goal() -> None:
    found = against("x", ours=2, peer=60, unit="CPU s", times=30, equal=True)
    assert found.met and found.ratio == 30
    assert not against("x", ours=2.1, peer=60, unit="CPU s", times=30, equal=True).met


def test_a_floor_may_be_exceeded_by_the_stated_factor() -> None:
    found = against("x", ours=3, peer=2, unit="CPU s", times=1 / 1.5, equal=True)
    assert found.met and found.goal == "at most 1.5 times the peer"
    assert not against("x", ours=3.1, peer=2, unit="CPU s", times=1 / 1.5, equal=True).met


def test_unequal_results_miss_any_goal() -> None:
    assert not against("x", ours=1, peer=60, unit="CPU s", times=1, equal=False).met
    assert not below("x", ours=1, limit=60, unit="s", equal=False).met
    assert not told("x", ours=1, peer=60, unit="s", equal=False).met


def test_a_limit_is_not_met_by_reaching_it() -> None:
    assert below("x", ours=59.9, limit=60, unit="s").met
    assert not below("x", ours=60, limit=60, unit="s").met
