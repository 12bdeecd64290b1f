"""Write what a comparison has found so far: table.md, table.csv, table.json and table.png."""

from __future__ import annotations

from collections.abc import Mapping

from fissura.compare.plot import draw
from fissura.compare.results import Row, make_rows
from fissura.compare.store import Store, write_json
from fissura.compare.tables import as_csv, as_json, markdown
from fissura.imaging.write import write_bytes


def write_tables(store: Store, speed: Mapping[str, float]) -> list[Row]:
    """Write all tables of a grid's folder; cells that are not run have rows that say so.

    Raises:
        OutputError: A file cannot be written.
    """
    grid = store.grid
    rows = make_rows(store, grid.cells)
    write_bytes(store.out / "table.md", markdown(grid, rows, speed).encode())
    # The byte-order mark makes spreadsheets read non-ASCII names rightly.
    write_bytes(store.out / "table.csv", as_csv(rows, grid.config.tests, speed).encode("utf-8-sig"))
    write_json(store.out / "table.json", as_json(grid, rows, speed))
    picture = draw(grid, rows)
    if picture is not None:
        write_bytes(store.out / "table.png", picture)
    return rows
