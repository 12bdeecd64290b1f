"""``fissura data``: check data sets, exchange masks with labelling tools, prepare public sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fissura.cli.console import NEEDS_OVERWRITE, STARTS_OVER, plain_errors

data = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, add_completion=False,
    help="Check data sets, exchange masks with labelling tools, prepare public sets.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)  # fmt: skip

_Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
_Debug = Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")]
_Overwrite = Annotated[bool, typer.Option("--overwrite", help="Write into a folder that is not empty.")]


@data.command()
def check(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Folders with images/ and masks/, or folders of such folders."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("report"),
    within: Annotated[
        bool, typer.Option("--within", help="Compare pictures of the same split, too, not only across.")
    ] = False,
    workers: Annotated[int | None, typer.Option(help="Threads that read pictures; one a core if left out.")] = None,
    quiet: _Quiet = False,
    debug: _Debug = False,
) -> None:
    """Find near-duplicates across splits and sets, faults of files and masks, and the widths of labels.

    \b
    Writes, below --out:
      report.html       pairs side by side with the common area, odd masks, widths; opens without network
      report.json       everything
      duplicates.csv    one row a pair

    Copies are found also when they are cropped to 40 % of the side, mirrored, turned, scaled up to five times and
    saved again. Pictures count as the same only if their fine texture agrees after one is laid over the other.

    \b
    Examples:
      fissura data check crack --out report      all sets below crack/, each split against each other one
      fissura data check mine/train mine/test    two folders with images/ and masks/

    Exit status: 0 clean; 1 problems found; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=STARTS_OVER):
        from fissura.data_run.check_run import CheckRequest, run_check

        raise typer.Exit(run_check(CheckRequest(tuple(folders), out, within, workers, quiet, debug)))


@data.command("export")
def export_(
    source: Annotated[
        Path, typer.Argument(metavar="SET", help="Folder with images/ and masks/, or a folder of such folders.")
    ],
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="coco, coco-rle, yolo-seg, cvat or labelme.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the annotations; for COCO and CVAT a file will do.")],
    simplify: Annotated[
        float,
        typer.Option(metavar="PX", help="Polygons with fewer corners, up to so many pixels beside the exact ones."),
    ] = 0.0,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Copy the pictures into images/, too, as YOLO wants them.")
    ] = False,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
    debug: _Debug = False,
) -> None:
    """Write masks as annotations of labelling tools, and say what they lose when they are read back.

    coco-rle and cvat hold the pixels themselves and lose nothing. The polygons of coco, yolo-seg and labelme are drawn
    so that cracks of one pixel survive; cracks around holes are cut into several polygons.

    \b
    Examples:
      fissura data export crack/cfd/train --format cvat --out cvat
      fissura data export crack/cfd --format yolo-seg --with-images --out yolo
      fissura data export mine --format labelme --simplify 0.7 --out labels    fewer corners to drag

    Exit status: 0 all done; 1 some pictures failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=NEEDS_OVERWRITE):
        from fissura.data_run.export_run import ExportRequest, run_export

        request = ExportRequest(source, format_, out, simplify, with_images, overwrite, quiet, debug)
        raise typer.Exit(run_export(request))


@data.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE|FOLDER", help="The annotations.")],
    format_: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="coco, coco-rle, yolo-seg, cvat or labelme.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the set: images/ and masks/.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures. [default: images/ beside the annotations]", show_default=False),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Class that is crack, where there are several. Repeat.")
    ] = None,
    line_px: Annotated[float, typer.Option(metavar="PX", help="Width of lines drawn along a crack.")] = 3.0,
    masks_only: Annotated[
        bool, typer.Option("--masks-only", help="Write masks alone; the pictures need not be there.")
    ] = False,
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
    debug: _Debug = False,
) -> None:
    """Turn annotations of labelling tools into images and masks.

    Read are COCO (polygons, run lengths as numbers and as text), YOLO-seg, CVAT for images 1.1 (masks, polygons,
    polylines) and LabelMe (polygons, lines, circles, rectangles, masks). Boxes and points are left out and counted.

    \b
    Examples:
      fissura data import instances.json --format coco --images photos --out mine
      fissura data import annotations.xml --format cvat --label crack --out mine
      fissura data import yolo --format yolo-seg --out mine

    Exit status: 0 all done; 1 some pictures failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=NEEDS_OVERWRITE):
        from fissura.data_run.import_run import ImportRequest, run_import

        request = ImportRequest(
            source, format_, out, images, tuple(label or ()), line_px, masks_only, overwrite, quiet, debug
        )
        raise typer.Exit(run_import(request))


@data.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="SET", help="cfd, crack500, deepcrack or chcrack5k.")],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="ARCHIVE|FOLDER", help="What was downloaded: .zip, .tar, .tar.gz or folders."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the sets; the set is a folder below it.")] = Path("data"),
    overwrite: _Overwrite = False,
    quiet: _Quiet = False,
    debug: _Debug = False,
) -> None:
    """Turn downloaded archives of public sets into images/ and masks/ by split, with a card of where they are from.

    \b
    Writes, below --out:
      <set>/<split>/{images,masks}/   masks of 0 and 255
      <set>/card.md, card.json        source, terms, layout, counts, checksums, what was assumed, what is missing

    Nothing is downloaded. Archives are read in place: no path in them can lead out of --out.

    \b
    Examples:
      fissura data prepare cfd CrackForest-dataset-master.zip --out data
      fissura data prepare crack500 traincrop.zip valcrop.zip testcrop.zip --out data
      fissura data prepare chcrack5k CrackForest-dataset-master.zip DeepCrack.zip road420/ --out data

    Exit status: 0 all done; 1 parts are missing or failed, the others are done; 2 could not start.
    """  # noqa: D301 - \b keeps the examples as they are
    with plain_errors(debug=debug, stopped=NEEDS_OVERWRITE):
        from fissura.data_run.prepare_run import PrepareRequest, run_prepare

        raise typer.Exit(run_prepare(PrepareRequest(name, tuple(sources), out, overwrite, quiet, debug)))
