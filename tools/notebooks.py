"""Run the notebooks from top to bottom, and store their outputs in a normalized form.

    python -m tools.notebooks [NAME ...] [--check]

A NAME is part of a file name (``01``).  A second run changes nothing except pictures of measured
speeds.  With --check, nothing is written, and the exit status is 1 if anything but the bytes of a
picture would change.  The notebooks use private servers, so the user's own servers and data are not
touched.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import copy
import hashlib
import io
import os
import re
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

from eventlab import servers
from eventlab.servers import starter

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
CELL_TIMEOUT = 300
STARTUP_TIMEOUT = 300
FAILURES = (CellExecutionError, CellTimeoutError, DeadKernelError)

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE = {
    "file_extension": ".py",
    "mimetype": "text/x-python",
    "name": "python",
    "pygments_lexer": "ipython3",
}
KEPT_METADATA = ("jupyter", "tags")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
PNG = "image/png"
TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf")

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_OVERWRITTEN = re.compile(r"[^\n]*\r(?!\n)")
_BACKSPACE = re.compile(r"[^\n]\x08")


# ---------------------------------------------------------------------------------------------- run


def read(path: Path) -> NotebookNode:
    """Read a notebook from a file."""
    text = path.read_text("utf-8")
    return cast(NotebookNode, nbformat.v4.reads(text))  # type: ignore[no-untyped-call]


def dumps(nb: NotebookNode) -> str:
    """Return a notebook as JSON with an indent of 1, sorted keys, and one newline at the end."""
    return str(nbformat.v4.writes(nb)).rstrip("\n") + "\n"  # type: ignore[no-untyped-call]


async def run(
    nb: NotebookNode, cwd: Path = NOTEBOOKS, timeout: float = CELL_TIMEOUT
) -> NotebookNode:
    """Run a copy of a notebook in a new kernel of this environment; return the normalized copy."""
    fresh = copy.deepcopy(nb)
    client = NotebookClient(
        fresh,
        timeout=timeout,
        startup_timeout=STARTUP_TIMEOUT,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=ERROR"],
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(cwd)}},
    )
    await client.async_execute()
    return normalise(fresh)


def run_together(
    nbs: Sequence[NotebookNode], cwd: Path = NOTEBOOKS
) -> list[NotebookNode | Exception]:
    """Run notebooks concurrently, each in its own kernel; return each result or its error."""

    async def gathered() -> list[NotebookNode | BaseException]:
        return await asyncio.gather(*(run(nb, cwd) for nb in nbs), return_exceptions=True)

    done = asyncio.run(gathered())
    for one in done:
        if isinstance(one, BaseException) and not isinstance(one, FAILURES):
            raise one
    return cast("list[NotebookNode | Exception]", done)


# ------------------------------------------------------------------------------ the normalized form


def normalise(nb: NotebookNode) -> NotebookNode:
    """Return a copy without the parts that vary between runs, but with all that a reader sees."""
    nb = copy.deepcopy(nb)
    nb.nbformat = 4
    nb.nbformat_minor = 5
    nb.metadata = {"kernelspec": KERNELSPEC, "language_info": LANGUAGE}
    _normalise_ids(nb)
    count = 0
    for cell in nb.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEPT_METADATA and v}
        if cell.cell_type != "code":
            continue
        ran = bool(cell.source.strip())
        count += ran
        cell.execution_count = count if ran else None
        cell.outputs = [
            _normalise_output(o, cell.execution_count) for o in _merge_streams(cell.outputs)
        ]
    return nb


def _normalise_ids(nb: NotebookNode) -> None:
    seen: set[str] = set()
    for position, cell in enumerate(nb.cells):
        if not cell.get("id") or cell["id"] in seen:
            cell["id"] = hashlib.sha256(f"{position} {cell.source}".encode()).hexdigest()[:8]
        seen.add(cell["id"])


def _merge_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Join adjacent outputs of one stream, because a kernel splits them at random places."""
    merged: list[NotebookNode] = []
    for output in outputs:
        if output.output_type != "stream":
            merged.append(output)
        elif merged and merged[-1].output_type == "stream" and merged[-1].name == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    for output in merged:
        if output.output_type == "stream":
            output.text = _as_a_terminal_shows(output.text)
    return merged


def _as_a_terminal_shows(text: str) -> str:
    while (shorter := _BACKSPACE.sub("", text)) != text:
        text = shorter
    return _OVERWRITTEN.sub("", text)


def _normalise_output(output: NotebookNode, count: int | None) -> NotebookNode:
    if output.output_type == "execute_result":
        output.execution_count = count
    if output.output_type == "error":
        output.traceback = [part for part in output.traceback if not _is_frame_of_a_file(part)]
    if "data" in output:
        output.data.pop(WIDGET_VIEW, None)
        output.metadata.pop(WIDGET_VIEW, None)
        if PNG in output.data:
            output.data[PNG] = _plain_png(output.data[PNG])
    return output


def _is_frame_of_a_file(part: str) -> bool:
    """Return whether a traceback frame is in a file of this machine and not in a cell."""
    return _ANSI.sub("", part).startswith("File ")


def _plain_png(text: str) -> str:
    """Return a base64 PNG without its metadata, such as the version of the program that drew it."""
    raw = base64.b64decode(text)
    kept = [raw[:8]]
    at = 8
    while at < len(raw):
        (length,) = struct.unpack(">I", raw[at : at + 4])
        end = at + 12 + length
        if raw[at + 4 : at + 8] not in TEXT_CHUNKS:
            kept.append(raw[at:end])
        at = end
    return base64.b64encode(b"".join(kept)).decode()


# ------------------------------------------------------------------------------------- what changed


def without_pictures(nb: NotebookNode) -> NotebookNode:
    """Return a copy of a notebook without the bytes of its pictures, for comparison."""
    nb = copy.deepcopy(nb)
    for output in _pictures(nb.cells):
        output.data[PNG] = "…"
    return nb


def keep_pictures(
    new: NotebookNode, old: NotebookNode, same: Callable[[str, str], bool]
) -> NotebookNode:
    """Return a copy of `new` with the old bytes of each unchanged picture.

    A picture is unchanged if the other outputs of its cell are equal and `same` returns true for
    the new and the old picture.
    """
    new = copy.deepcopy(new)
    before = {cell.get("id"): cell for cell in old.cells if cell.cell_type == "code"}
    for cell in new.cells:
        was = before.get(cell["id"])
        if was is None or cell.cell_type != "code" or not _equal_but_for_pictures(cell, was):
            continue
        for after, earlier in zip(_pictures([cell]), _pictures([was]), strict=True):
            if same(after.data[PNG], earlier.data[PNG]):
                after.data[PNG] = earlier.data[PNG]
    return new


def same_pixels(a: str, b: str) -> bool:
    """Return whether two base64 PNG pictures have the same pixels."""
    if a == b:
        return True
    one, other = (Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA") for text in (a, b))
    return one.size == other.size and one.tobytes() == other.tobytes()


def _any_picture(_new: str, _old: str) -> bool:
    return True


def _pictures(cells: Sequence[NotebookNode]) -> Iterator[NotebookNode]:
    for cell in cells:
        for output in cell.get("outputs", []):
            if PNG in output.get("data", {}):
                yield output


def _equal_but_for_pictures(a: NotebookNode, b: NotebookNode) -> bool:
    def rest(cell: NotebookNode) -> object:
        cell = copy.deepcopy(cell)
        for output in _pictures([cell]):
            output.data[PNG] = "…"
        return cell.outputs

    return rest(a) == rest(b)


# ------------------------------------------------------------------------------------------ command


@contextlib.contextmanager
def private_servers() -> Iterator[None]:
    """Run private servers for the kernels, with private data and Jupyter settings."""
    with tempfile.TemporaryDirectory(prefix="eventlab-") as scratch:
        for variable in ("EVENTLAB_REDIS_URL", "EVENTLAB_MONGODB_URL", "JUPYTER_PATH"):
            os.environ.pop(variable, None)
        os.environ["EVENTLAB_DATA"] = f"{scratch}/data"
        # The user's own "python3" kernel may belong to a different environment.
        os.environ["JUPYTER_DATA_DIR"] = f"{scratch}/jupyter"
        os.environ["IPYTHONDIR"] = f"{scratch}/ipython"
        try:
            with servers.connect():
                yield
        finally:
            starter.stop(Path(scratch, "data"))


def select(names: Sequence[str]) -> list[Path]:
    """Return the notebooks whose file names contain one of the names, or all if there are none.

    Exits with an error if a name matches no notebook.
    """
    every = sorted(NOTEBOOKS.glob("*.ipynb"))
    chosen = [p for p in every if not names or any(n in p.name for n in names)]
    for name in names:
        if not any(name in p.name for p in every):
            raise SystemExit(
                f"no notebook has {name!r} in its name: "
                f"choose from {', '.join(p.stem for p in every)}"
            )
    return chosen


def refresh(path: Path, check: bool) -> str:
    """Run one notebook, write it unless `check` is true, and return the outcome in words."""
    before = path.read_text("utf-8")
    old = read(path)
    try:
        new = asyncio.run(run(old, path.parent))
    except FAILURES as error:
        return f"FAILED, file not changed\n{error}"
    normal = normalise(old)
    after = dumps(keep_pictures(new, normal, _any_picture if check else same_pixels))
    if after == before:
        return "unchanged"
    if check:
        return "WOULD CHANGE: run `make notebooks` and review the diff"
    path.write_text(after, "utf-8")
    return (
        "new pictures" if dumps(keep_pictures(new, normal, _any_picture)) == before else "changed"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named notebooks (default: all).

    Returns 1 if any failed or, with ``--check``, would change, and 0 otherwise.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tools.notebooks", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="part of a file's name (default: all notebooks)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit 1 if more than a picture would change",
    )
    arguments = parser.parse_args(argv)
    failed = 0
    with private_servers():
        for path in select(arguments.names):
            began = time.monotonic()
            outcome = refresh(path, arguments.check)
            failed += outcome.startswith(("FAILED", "WOULD"))
            print(f"{path.name:34} {time.monotonic() - began:5.1f} s  {outcome}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
