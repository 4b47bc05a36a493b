"""Kernels on Unix sockets.

For TCP, a kernel manager chooses ports that its kernel opens later: until then, any other program
may take one of them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import nbval.kernel
from jupyter_client.manager import KernelManager
from traitlets import default


class SocketKernelManager(KernelManager):
    """Starts a kernel that listens on Unix sockets."""

    #: Of the sockets. Their paths may have about 100 characters.
    folder = Path()
    numbers = itertools.count(1)

    @default("transport")
    def _transport_default(self) -> str:
        return "ipc"

    @default("ip")
    def _ip_default(self) -> str:
        return str(self.folder / f"k{next(self.numbers)}")


def use_sockets(folder: Path) -> None:
    """Let nbval and the tests start kernels that listen in this folder."""
    SocketKernelManager.folder = folder
    nbval.kernel.KernelManager = SocketKernelManager
