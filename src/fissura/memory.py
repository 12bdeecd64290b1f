"""Keep memory that was freed, in blocks of moderate size, and give back large ones.

glibc learns from what a program frees. After a few pictures it keeps whole frames, which it seldom needs again at the
same place, and gives back what lies at the end of the heap, whose pages are asked for anew in the next picture. Told
once what to do, a flight took a fifth less memory in the same time, and the road of a frame a fifth less time
(docs/LOG.md, 2026-11-29).
"""

from __future__ import annotations

import ctypes
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
_KEPT_MB, _BLOCK_MB = 64, 4
"""Free memory at the end of the heap that is kept; blocks from the second size come from the system and go back to it.
With 512 and 32 MB whole frames stayed: a flight took a fifth more memory than without and was no quicker."""
_KEPT_TRAINING_MB, _BLOCK_TRAINING_MB = 2047, 32
"""The most that glibc takes. Every step of a training wants the same blocks again, most of them larger than 4 MB."""


def keep_freed_memory(*, training: bool = False) -> bool:
    """Let this process keep some of what it has freed. True where the C library is glibc.

    Args:
        training: Up to 2 GB and blocks of up to 32 MB, instead of 64 and 4 MB.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    kept, block = (_KEPT_TRAINING_MB, _BLOCK_TRAINING_MB) if training else (_KEPT_MB, _BLOCK_MB)
    return bool(mallopt(_M_TRIM_THRESHOLD, kept << 20)) and bool(mallopt(_M_MMAP_THRESHOLD, block << 20))
