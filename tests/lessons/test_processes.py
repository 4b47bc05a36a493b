"""Programs in processes of their own: what they see, how they end, and what is left of them."""

from __future__ import annotations

import multiprocessing

import pytest

from eventlab.lessons import processes, run_together

WRITER = """
import sys
from eventlab.lessons import wait_for_start

wait_for_start()
print(sys.argv[0])
"""


def test_run_together_returns_what_each_process_prints() -> None:
    assert run_together(WRITER, 2) == ["-c\n", "-c\n"]


def test_run_together_returns_a_long_output_whole() -> None:
    code = "from eventlab.lessons import wait_for_start; wait_for_start(); print('x' * 1_000_000)"
    assert run_together(code, 1) == ["x" * 1_000_000 + "\n"]


def test_program_sees_the_environment_of_its_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"{WRITER}\nimport os\nprint(os.environ['EVENTLAB_TEST'])"
    for value in ("one", "two"):
        monkeypatch.setenv("EVENTLAB_TEST", value)
        assert run_together(code, 1) == [f"-c\n{value}\n"]


@pytest.mark.parametrize(
    "output", ["", "sys.stdout.close()", "[print('x' * 10_000) for _ in iter(int, 1)]"]
)
def test_run_together_kills_a_program_that_does_not_end(
    output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = multiprocessing.active_children()
    monkeypatch.setattr(processes, "PATIENCE", 1)
    code = f"import sys, time\nprint('ready', flush=True)\n{output}\ntime.sleep(600)"
    with pytest.raises(RuntimeError, match="did not end within 1 seconds"):
        run_together(code, 1)
    assert multiprocessing.active_children() == before


def test_start_together_leaves_no_process_when_one_ends_before_the_start() -> None:
    before = multiprocessing.active_children()
    ends = "print('ready')"
    waits = "from eventlab.lessons import wait_for_start; wait_for_start()"
    assert processes.start_together([[ends], [waits]]) == [("", 0), ("", 0)]
    with pytest.raises(RuntimeError, match="before it was ready"):
        processes.start_together([[waits], ["1 / 0"]])
    assert multiprocessing.active_children() == before


def test_program_runs_as_the_main_module() -> None:
    code = f"{WRITER}\nimport pickle, typing\nclass A:\n    x: int\ndef f(a: 'A'): pass\n"
    code += "print(typing.get_type_hints(f)['a'] is type(pickle.loads(pickle.dumps(A()))))\n"
    code += "print(A.__annotations__)"
    assert run_together(code, 1) == ["-c\nTrue\n{'x': <class 'int'>}\n"]


def test_run_together_reports_a_process_that_does_not_start() -> None:
    with pytest.raises(RuntimeError, match="before it was ready"):
        run_together("import sys; sys.exit(1)", 1)
