"""A process is its id and the instant at which it started."""

from __future__ import annotations

import subprocess
import sys
import time

from hypothesis import given
from hypothesis import strategies as st

from ml_assets.core.runtime.processes import has_lived_since, is_alive, this_process


def test_this_process_is_alive_under_its_name() -> None:
    """The name holds in any process of this host."""
    code = (
        "from ml_assets.core.runtime.processes import is_alive; "
        f"print(is_alive({this_process()!r}))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


def test_another_process_with_the_same_id_is_not_the_one_that_was_met() -> None:
    """Ids are given again: what started a minute apart is another process."""
    pid, started = this_process().split("@")
    assert not is_alive(f"{pid}@{float(started) - 60}")
    assert has_lived_since(int(pid), time.time())
    assert not has_lived_since(int(pid), float(started) - 60)


def test_a_killed_process_is_dead_also_before_its_parent_has_waited_for_it() -> None:
    """A zombie holds its id and does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert has_lived_since(process.pid, time.time())
    process.kill()
    deadline = time.monotonic() + 10
    while has_lived_since(process.pid, time.time()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not has_lived_since(process.pid, time.time())
    process.wait()


@given(st.text() | st.from_regex(r"-?\d{1,30}@-?\d{0,30}(nan|inf)?", fullmatch=True))
def test_any_other_text_names_no_living_process(name: str) -> None:
    """Tags are read as they come."""
    assert not is_alive(name)
