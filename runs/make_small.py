"""Generated crops with exact masks, for runs/compare_small.yaml: ``python runs/make_small.py out/small``."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from fissura.imaging.write import write_mask, write_png
from fissura.synth.crops import render_training_crop

SIDE_PX = 160
IMAGES = {"train": 60, "test": 24}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("out/small"))
    root = parser.parse_args().out
    for seed, (split, count) in enumerate(IMAGES.items()):
        rng = np.random.default_rng(seed)
        for index in range(count):
            image, truth = render_training_crop(rng, SIDE_PX, crack_probability=0.8)
            folder = root / "drawn" / split
            write_png(folder / "images" / f"{index:03}.png", image)
            write_mask(folder / "masks" / f"{index:03}.png", truth)
    print(f"wrote {sum(IMAGES.values())} crops of {SIDE_PX} px to {root}")


if __name__ == "__main__":
    main()
