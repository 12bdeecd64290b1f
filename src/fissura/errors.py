"""What can go wrong, as one tree.

::

    FissuraError
    ├── ImageError(ValueError)        a file that is no readable image, or one of an unusable size
    ├── OutputError(OSError)          a result that cannot be written (read-only, disk full)
    ├── ModelError(ValueError)        a file that is no model of ours, or one this machine cannot run
    ├── DataError(ValueError)         training or evaluation data that do not fit together
    ├── SettingsError(ValueError)     an option, a config key or a combination that makes no sense
    ├── GeometryError(ValueError)     shapes or coordinates that do not fit
    └── MissingDependencyError(ImportError)   an extra that is not installed; names the install line

Every message says what was given, what is needed and what to do next. The command line prints the
message alone; ``--debug`` shows the trace.
"""

from __future__ import annotations


class FissuraError(Exception):
    """Root of all errors that fissura raises on purpose."""


class ImageError(FissuraError, ValueError):
    """A file is no readable image, or its size cannot be used."""


class OutputError(FissuraError, OSError):
    """A result cannot be written."""


class ModelError(FissuraError, ValueError):
    """A file is no usable model."""


class DataError(FissuraError, ValueError):
    """Training or evaluation data do not fit together."""


class SettingsError(FissuraError, ValueError):
    """An option or a config key makes no sense."""


class GeometryError(FissuraError, ValueError):
    """Shapes or coordinates do not fit."""


class MissingDependencyError(FissuraError, ImportError):
    """An optional library is needed and not installed."""
