"""Train the network that tells directions where roads meet, and write ``src/fissura/road/junction.onnx``.

    python benchmarks/road_junction_train.py --cache FOLDER [--first 1200] [--last 8392] [--steps 6000] [--workers 2]

Worlds of the family ``tuning`` with junctions (seeds that end in 2 or 7, below 9000) are drawn, each seen three times,
most times with its surfaces in other colours; what speaks for each direction in up to 150 cells of each view is kept in
the folder, one file for each world. ``road_report.py`` measures on other worlds. With the defaults it makes the file
that is shipped: 1,439 worlds, and about three minutes of training on one core.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import onnx
import torch
from torch import nn

from fissura.geo.homography import transform
from fissura.road import direction, find_road
from fissura.road.junction import AROUND, EVIDENCE, SIDES, cell_side, gather_evidence
from fissura.road.votes import DIRECTIONS
from fissura.synth.aerial import AerialView

SIZE_HW = (540, 960)
VIEWS, CELLS_A_VIEW = 3, 150
CHANNELS = 24
BATCH, RATE, SEED = 512, 3e-3, 1
SPREAD_DEG = 3.0
"""Of the wanted scores around a true direction."""
MEETING_WEIGHT = 2.0
"""Cells where roads meet are taken so much more often."""
DROPPED = 0.15
"""Share of batches without lines, and of those without the other network's word."""
WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "fissura" / "road" / "junction.onnx"


class JunctionNet(nn.Module):
    """Evidence (B, EVIDENCE, directions) to the score of each direction (B, directions): convolutions on the circle."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(EVIDENCE, CHANNELS, 5)
        self.far = nn.Conv1d(CHANNELS, CHANNELS, 5, dilation=2)
        self.near = nn.Conv1d(CHANNELS, CHANNELS, 5)
        self.across = nn.Conv1d(2 * CHANNELS, CHANNELS, 1)
        self.score = nn.Conv1d(CHANNELS, 1, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(_wrapped(x, 2)))
        x = x + torch.relu(self.far(_wrapped(x, 4)))
        x = x + torch.relu(self.near(_wrapped(x, 2)))
        half = DIRECTIONS // 2
        upright = torch.cat([x[..., half:], x[..., :half]], dim=2)
        x = x + torch.relu(self.across(torch.cat([x, upright], dim=1)))
        return self.score(_wrapped(x, 1))[:, 0]


def _wrapped(x: torch.Tensor, margin: int) -> torch.Tensor:
    return torch.cat([x[..., -margin:], x, x[..., :margin]], dim=2)


def draw_world(cache: Path, seed: int) -> None:
    """Evidence and true directions of a world's views, into a file of its own."""
    from road_scenes import draw_varied_views

    out = cache / f"{seed:05d}.npz"
    if out.exists():
        return
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, 77])
    kept = [cells_of(view, rng) for view in draw_varied_views(seed, SIZE_HW, VIEWS)]
    evidence, truth = (np.concatenate(parts) for parts in zip(*kept, strict=True))
    partial_file = out.with_suffix(".part")
    with partial_file.open("wb") as file:
        np.savez(file, evidence=evidence, truth=truth, cells=[len(one[0]) for one in kept])
    partial_file.replace(out)


def cells_of(view: AerialView, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Evidence of some cells, (N, EVIDENCE, directions), and the directions of the roads there in degrees, (N, 3).

    Roads that do not exist repeat the first. No cells where no junction is seen, and none on aprons.
    """
    asked = []
    with mock.patch.object(direction, "junction_directions", lambda *known: asked.append(known) or _nothing(known[2])):
        find_road(view.rgb)
    if not asked:
        return np.empty((0, EVIDENCE, DIRECTIONS), np.float16), np.empty((0, 3), np.float32)
    *known, meeting = asked[0]
    mask = known[2]
    cell = cell_side(mask.shape)
    hw = -(-mask.shape[0] // cell), -(-mask.shape[1] // cell)
    where = np.argwhere(cv2.resize(mask.view(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST) > 0)
    truth = true_directions(view, (where + 0.5) * cell * (view.rgb.shape[1] / mask.shape[1]) - 0.5)
    where, truth = where[~np.isnan(truth[:, 0])], truth[~np.isnan(truth[:, 0])]
    if len(where) > CELLS_A_VIEW:
        met = cv2.resize(meeting, hw[::-1], interpolation=cv2.INTER_LINEAR)[where[:, 0], where[:, 1]] > 0.25
        chance = 1 + MEETING_WEIGHT * met
        some = rng.choice(len(where), CELLS_A_VIEW, replace=False, p=chance / chance.sum())
        where, truth = where[some], truth[some]
    return gather_evidence(*known, meeting, where).astype(np.float16), truth.astype(np.float32)


def _nothing(mask: np.ndarray) -> np.ndarray:
    return np.zeros((*mask.shape, 2), np.float32)


def true_directions(view: AerialView, points_rc: np.ndarray) -> np.ndarray:
    """Of up to three roads in whose width each point lies, (N, 3), degrees; NaN on no road, the first repeated."""
    to_image = view.camera.image_from_ground()
    at = transform(view.camera.ground_from_image(), points_rc[:, ::-1])
    out, count = np.full((len(at), 3), np.nan), np.zeros(len(at), np.int64)
    for road in view.world.roads:
        tangent, distance = road.nearest(at)
        a, b = transform(to_image, at - 0.5 * tangent), transform(to_image, at + 0.5 * tangent)
        on = np.flatnonzero((distance <= road.width_m / 2 + 0.5) & (count < 3))
        out[on, count[on]] = np.degrees(np.arctan2(-(b - a)[on, 1], (b - a)[on, 0])) % 180.0
        count[on] += 1
    return np.where(np.isnan(out), out[:, :1], out)


def loss_of(score: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross entropy of each cell towards that of its true directions which it is nearer to, shape (B,)."""
    degrees = torch.arange(DIRECTIONS) * (180.0 / DIRECTIONS)
    away = (degrees - truth[..., None] + 90) % 180 - 90
    wanted = torch.exp(-0.5 * (away / SPREAD_DEG) ** 2)
    wanted = wanted / wanted.sum(dim=2, keepdim=True)
    return -(wanted * torch.log_softmax(score, dim=1)[:, None]).sum(dim=2).amin(dim=1)


def errors(score: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Degrees by which the likeliest direction misses the nearest true one."""
    best = score.argmax(dim=1, keepdim=True) * (180.0 / DIRECTIONS)
    return ((best - truth + 90) % 180 - 90).abs().amin(dim=1)


def train(cache: Path, steps: int) -> JunctionNet:
    """AdamW with a warm and a cold end; the worlds with the last tenth of the seeds are only looked at."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    loaded = [np.load(path) for path in sorted(cache.glob("*.npz"))]
    cells = np.concatenate([one["cells"] for one in loaded])
    evidence = torch.from_numpy(np.concatenate([one["evidence"] for one in loaded]))
    truth = torch.from_numpy(np.concatenate([one["truth"] for one in loaded]))
    held_back = int(cells[: int(0.9 * len(cells))].sum())
    net = JunctionNet()
    mean = torch.optim.swa_utils.AveragedModel(net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998))
    print(
        f"{sum(p.numel() for p in net.parameters())} parameters, {len(loaded)} worlds, {len(truth)} cells", flush=True
    )
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    begin, means = time.monotonic(), len(AROUND) + 2 * len(SIDES)
    said = 2 * means + 2 * len(AROUND)
    # What `gather_evidence` puts where: shares and totals of outline and lines by turns, the other network, the frame.
    lines, word = [*range(1, said, 2), said + 2], [said, EVIDENCE - 2]
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / 100, 0.5 * (1 + np.cos(np.pi * step / steps)) + 0.001)
        pick = torch.randint(0, held_back, (BATCH,))
        seen, true = evidence[pick].float(), truth[pick]
        if torch.rand(1) < DROPPED:
            seen[:, lines] = 0
        if torch.rand(1) < DROPPED:
            seen[:, word] = 0
        turn = int(torch.randint(0, DIRECTIONS, (1,)))
        seen, true = seen.roll(turn, dims=2), true + turn * (180.0 / DIRECTIONS)
        if torch.rand(1) < 0.5:
            seen, true = seen.flip(2).roll(1, dims=2), -true
        loss = loss_of(net(seen), true).mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        mean.update_parameters(net)
        if (step + 1) % 1000 == 0:
            with torch.no_grad():
                score = torch.cat([mean.module(part.float()) for part in evidence[held_back:].split(4096)])
            off, cost = errors(score, truth[held_back:]), loss_of(score, truth[held_back:])
            print(
                f"{step + 1} loss {loss.item():.3f}; held back {cost.mean():.3f}, over 10 degrees "
                f"{(off > 10).float().mean():.4f}, {time.monotonic() - begin:.0f} s", flush=True,
            )  # fmt: skip
    return mean.module


def export(net: JunctionNet, out: Path) -> None:
    """Write ONNX, for any number of cells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), torch.zeros(2, EVIDENCE, DIRECTIONS), str(out), input_names=["evidence"],
            output_names=["score"], dynamic_axes={"evidence": {0: "cells"}, "score": {0: "cells"}}, opset_version=17,
            dynamo=False,
        )  # fmt: skip
    onnx.checker.check_model(onnx.load(out))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--first", type=int, default=1200)
    parser.add_argument("--last", type=int, default=8392)
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    if options.last > 8999:
        parser.error("--last is 8999 at most: the worlds above are for other purposes")
    options.cache.mkdir(parents=True, exist_ok=True)
    seeds = [seed for seed in range(options.first, options.last + 1) if seed % 10 in (2, 7)]
    with ProcessPoolExecutor(options.workers) as pool:
        for number, _ in enumerate(pool.map(partial(draw_world, options.cache), seeds)):
            if (number + 1) % 100 == 0:
                print(f"{number + 1} of {len(seeds)} worlds", flush=True)
    export(train(options.cache, options.steps), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
