"""``fissura data prepare``: downloaded archives of public sets as images and masks with a card."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fissura.cli.console import EXIT_SOME_FAILED, ProgressLine, Tally, say, warn
from fissura.data.labels.pictures import plan_stems
from fissura.data.prepare.card import write_card
from fissura.data.prepare.convert import write_item
from fissura.data.prepare.recipes import Item, Plan, Recipe, find_recipe
from fissura.data.prepare.sources import SourceTree, open_sources
from fissura.data_run.folders import prepare_out
from fissura.errors import DataError, FissuraError, OutputError
from fissura.imaging.write import is_fatal

_SAID = 12


@dataclass(frozen=True)
class PrepareRequest:
    """The options of ``fissura data prepare``, as given."""

    name: str
    sources: tuple[Path, ...]
    out: Path
    overwrite: bool = False
    quiet: bool = False
    debug: bool = False


@dataclass
class _Splits:
    """Numbers for the card."""

    pictures: Counter[str] = field(default_factory=Counter)
    without_crack: Counter[str] = field(default_factory=Counter)
    sizes: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, split: str, size_hw: tuple[int, int], has_crack: bool) -> None:
        """Count a picture."""
        self.pictures[split] += 1
        self.without_crack[split] += not has_crack
        self.sizes.setdefault(split, Counter())[f"{size_hw[1]}x{size_hw[0]}"] += 1

    def rows(self) -> dict[str, dict[str, Any]]:
        """By split, in the usual order."""
        order = sorted(self.pictures, key=lambda s: (["train", "val", "test"].index(s), s))
        return {
            split: {
                "pictures": self.pictures[split], "without_crack": self.without_crack[split],
                "sizes": [f"{size} ({n})" for size, n in self.sizes[split].most_common(5)],
            } for split in order
        }  # fmt: skip


def run_prepare(request: PrepareRequest) -> int:
    """Write the set and return the exit status: 1 if anything is missing or failed.

    Raises:
        FissuraError: The run could not start: no such recipe, sources that cannot be opened or hold nothing of the
            set, ``--out`` in use or not writable.
    """
    recipe = find_recipe(request.name)
    folder = request.out / recipe.name
    say(f"opening {len(request.sources)} source(s) …", quiet=request.quiet)
    with open_sources(request.sources) as tree:
        plan = recipe.plan(tree)
        if not plan.items:
            raise DataError(_nothing(recipe, tree, request))
        prepare_out(folder, overwrite=request.overwrite)
        return _write(request, recipe, plan, tree, folder)


def _write(request: PrepareRequest, recipe: Recipe, plan: Plan, tree: SourceTree, folder: Path) -> int:
    tally, splits, unsure = Tally(), _Splits(), list[str]()
    for name, reason in tree.refused:
        tally.fail(name, DataError(reason))
    items = _with_free_names(plan)
    with ProgressLine("preparing", len(items), quiet=request.quiet) as progress:
        for item in items:
            try:
                written = write_item(folder / item.split, item)
                splits.add(item.split, written.size_hw, written.has_crack)
                unsure += [str(item.image.path)] if written.unsure else []
            except OutputError as error:
                if is_fatal(error):
                    raise
                tally.fail(str(item.image.path), error)
            except FissuraError as error:
                tally.fail(str(item.image.path), error)
            progress.advance(item.split)
    rows = splits.rows()
    if not rows:
        raise DataError("no picture could be read; the lines above say why")
    write_card(folder, recipe, plan, splits=rows, digests=tree.digests, failed=tally.failed)
    counts = ", ".join(f"{row['pictures']} {split}" for split, row in rows.items())
    say(f"{recipe.title}: {counts}; written to {folder}, card in {folder / 'card.md'}", quiet=request.quiet)
    say(f"terms: {recipe.terms}", quiet=request.quiet)
    for line in plan.missing[:_SAID]:
        warn(f"missing: {line}")
    if unsure:
        warn(
            f"{len(unsure)} picture(s) have a tag that turns them, and their masks fit both ways; taken as displayed, "
            f"look whether the masks lie right ({', '.join(unsure[:3])})"
        )
    if plan.left_over:
        warn(f"{len(plan.left_over)} file(s) were not used; card.json lists them with the reason")
    if tally.failed:
        warn(f"{len(tally.failed)} failed; they are listed above and in card.json")
    return EXIT_SOME_FAILED if plan.missing or tally.failed else 0


def _with_free_names(plan: Plan) -> list[Item]:
    """Stems as files may be called, and none twice in a split."""
    items: list[Item] = []
    for split in sorted({item.split for item in plan.items}):
        own = [item for item in plan.items if item.split == split]
        stems = plan_stems([f"{item.stem}.jpg" for item in own])
        items += [Item(i.split, stem, i.image, i.mask, i.fit, i.part) for i, stem in zip(own, stems, strict=True)]
    return items


def _nothing(recipe: Recipe, tree: SourceTree, request: PrepareRequest) -> str:
    folders = sorted({"/".join(m.path.parts[:-1]) for m in tree.members})
    seen = ", ".join(folders[:6]) or "no picture at all"
    refused = f" {len(tree.refused)} file(s) were refused: {tree.refused[0][1]}." if tree.refused else ""
    names = ", ".join(path.name for path in request.sources)
    return f"{names}: nothing of {recipe.title} was found.{refused} Needed: {recipe.expects}. There is: {seen}"
