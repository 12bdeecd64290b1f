"""Keep memory that was freed, for programs that work through many pictures of one size.

The C library gives blocks of more than 128 KB back to the system as soon as they are free, and every page of the next
one is asked for anew. In a virtual machine that is a fifth of the time in which the road of a frame is found.
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_TRIM_BYTES, _MMAP_BYTES = 512 << 20, 32 << 20
"""Free memory at the end of the heap that is kept; blocks from the second size (the largest that glibc takes) still
come from the system and go back to it, so that whole frames and mosaics do not stay."""


def keep_freed_memory() -> bool:
    """Let this process keep up to half a gigabyte of what it has freed. True where the C library is glibc."""
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES)) and bool(mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES))
