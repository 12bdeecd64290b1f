"""File names that are no Unicode, as old archives and cards have them."""

import pytest


def require_odd_names(folder):
    """Skip where a probe shows that the file system takes Unicode names only, as macOS does."""
    probe = folder / "probe-\udcdf"
    try:
        probe.touch()
    except (OSError, UnicodeEncodeError):
        pytest.skip("this file system has Unicode names only")
    probe.unlink()
