"""A small file system for tests of full and read-only disks."""

import ctypes
import ctypes.util
import os
import sys

import pytest


class mounted:
    """A small tmpfs; skips the test where mounting is not allowed."""

    def __init__(self, folder, options):
        self.folder, self.options = str(folder).encode(), options.encode()
        self.libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)

    def __enter__(self):
        readonly = 1 if self.options.endswith(b",ro") else 0
        size = self.options.removesuffix(b",ro")
        if sys.platform != "linux" or self.libc.mount(b"tmpfs", self.folder, b"tmpfs", readonly, size):
            pytest.skip(f"no tmpfs can be mounted here: {os.strerror(ctypes.get_errno())}")

    def __exit__(self, *error):
        self.libc.umount2(self.folder, 2)
