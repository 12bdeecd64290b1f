"""Train the network of `find_road` that sees the whole frame, and write ``src/fissura/road/road.onnx``.

    python benchmarks/road_network_train.py --cache FOLDER --scenes 180 [--minutes 30] [--start FILE.pt] [--ways-only]

The file that is shipped was trained at 270 by 480 cells and without directions first, on 530 pictures (of the worlds 0
to 51, 100 to 228, 5000 to 5012) for 5,600 steps of 8 looks. From there it went on three times (``--start``; ``--rate
2.5e-3``, ``2e-3``, ``2e-3``; 25, 25 and 20 minutes of one core, about 4,000 steps each) as this script does it now, on
987 pictures: of the worlds 0 to 51, 100 to 299, 5000 to 5012, and those with junctions (seeds that end in 2 or 7) from
300 to 619. Smooth roads and frames as soft as reduced ones are (`show`, `changed`) came with the second of these.
`road_train.py` was run before, without this network. Last, directions were given a branch of their own (until then one
layer) and trained alone with ``--ways-only``, on these pictures and those with junctions up to world 1117:
2,000, 2,000 and 11,600 steps of 16 looks at a rate of 3e-3, the last of them in 38 minutes of two cores, the others
with a branch of two more layers, which were then cut off. (Every 2,000 steps the mean of the weights was put in their
place, which this script no longer does.)

Only worlds of the family ``tuning`` and seeds below 9000 are used; ``road_report.py`` measures on others. Each world is
seen three times, most times with its surfaces in other colours and textures (`road_scenes.vary_materials`). Each time a
picture is shown, its zoom, light, balance, noise and blur change, and the tints of the road and of some of the land,
which now and then takes on the road's own colour: what is left to tell a road by is its shape, edges and texture.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import sys
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import nn

from fissura.geo.homography import transform
from fissura.infer.precision import fast_precisions
from fissura.road.appearance import PLANES, chroma, network_planes
from fissura.synth.aerial import AerialCamera, AerialWorld

SIZE_HW = (270, 480)
SEEN_HW = (180, 320)
PADDED_HW = (96, 160)
WAYS_HW = (68, 120)
WAY_WEIGHT, MEET_WEIGHT = 0.5, 0.3
BATCH, RATE, SEED = 8, 3e-3, 1
KEPT, AGAIN = 2500, 3
"""Batches of looks whose features are kept while directions are trained, and steps after each new one."""
WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "fissura" / "road" / "road.onnx"
WIDTHS = (8, 20, 28, 36, 48)


class Residual(nn.Module):
    """x + BN(conv(x)), then ReLU."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.norm(self.conv(x)))


class RoadNet(nn.Module):
    """Planes (B, 6, h, w) to logits of road (B, 1, h, w) and directions (B, 3, h / 4, w / 4).

    h and w are multiples of 16. Directions are cosine and sine of twice the road's angle, shorter where unsure; with
    them comes the logit of being where roads of two directions meet.

    Five levels; the coarsest (a sixteenth) sees the whole frame: a second convolution there is dilated.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _step(PLANES, WIDTHS[0], 1)
        self.down = nn.ModuleList(
            nn.Sequential(_step(a, b, 2), *([Residual(b)] if k else []))
            for k, (a, b) in enumerate(itertools.pairwise(WIDTHS))
        )
        self.wide = Residual(WIDTHS[-1], 3)
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(WIDTHS))
        self.up = nn.ModuleList(Residual(a) for a in WIDTHS[:-1])
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)
        self.way = WayBranch()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logit, seen = self.see(x)
        return logit, self.way(*seen)

    def see(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits, and what there is at a sixteenth, an eighth and a quarter."""
        levels = [self.stem(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        y = self.wide(levels.pop())
        seen = [y]
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            y = nn.functional.interpolate(narrow(y), scale_factor=2.0, mode="nearest")
            y = up(y + levels.pop())
            seen.append(y)
        return self.head(y), seen[:3]


class WayBranch(nn.Module):
    """Directions, and where roads meet, from what the network sees at a sixteenth, an eighth and a quarter.

    It has layers of its own, so that it can be trained without changing what is road.
    """

    def __init__(self) -> None:
        super().__init__()
        wide, fine = WIDTHS[-1], WIDTHS[-3]
        self.whole = nn.Sequential(Residual(wide), Residual(wide, 2), Residual(wide, 3))
        self.from_eighth = nn.Conv2d(WIDTHS[-2], wide, 1)
        self.eighth = nn.Sequential(Residual(wide), Residual(wide, 2))
        self.to_quarter = nn.Conv2d(wide, fine, 1)
        self.quarter = nn.Sequential(Residual(fine), nn.Conv2d(fine, 3, 3, padding=1))

    def forward(self, sixteenth: torch.Tensor, eighth: torch.Tensor, quarter: torch.Tensor) -> torch.Tensor:
        y = nn.functional.interpolate(self.whole(sixteenth), scale_factor=2.0, mode="nearest")
        y = self.to_quarter(self.eighth(y + self.from_eighth(eighth)))
        return self.quarter(nn.functional.interpolate(y, scale_factor=2.0, mode="nearest") + quarter)


def _step(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def render_scenes(count: int, cache: Path) -> None:
    """Pictures and road masks (405, 720, 4) of the first worlds into a folder; those that are there stay."""
    from road_scenes import draw_varied_views

    cache.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        if (cache / f"{seed:05d}_2.npy").exists():
            continue
        for number, view in enumerate(draw_varied_views(seed, SIZE_HW, 3)):
            with (cache / f"{seed:05d}_{number}.npy").open("wb") as file:
                np.save(file, np.dstack([view.rgb, view.road.astype(np.uint8) * 255]))
                np.save(file, directions(view.world, view.camera, view.road))


def directions(world: AerialWorld, camera: AerialCamera, on_road: np.ndarray) -> np.ndarray:
    """Where roads run, of every fourth pixel of a picture of `SIZE_HW`, (270, 480), that is on one.

    Returns:
        Shape (5, 68, 120), int8: cosine and sine (times 127) of twice the angle of the nearest road, those of the
        second one where two overlap (else the same), and whether roads of two directions are within 8 m.
    """
    out = np.zeros((5, *WAYS_HW), np.int8)
    wanted = on_road[1::4, 1::4]
    if not wanted.any():
        return out
    at = transform(camera.ground_from_image(), np.argwhere(wanted)[:, ::-1] * 4 + 1.5)
    vectors, beyond = [], []
    for road in world.roads:
        tangent, distance = road.nearest(at)
        a, b = (transform(camera.image_from_ground(), at + half * tangent) for half in (-0.5, 0.5))
        double = 2 * np.arctan2(-(b - a)[:, 1], (b - a)[:, 0])
        vectors.append(np.column_stack([np.cos(double), np.sin(double)]))
        beyond.append(distance - road.width_m / 2)
    turns, away = np.array(vectors), np.array(beyond)
    order, each = np.argsort(away, axis=0), np.arange(len(at))
    nearest, least = turns[order[0], each], away[order[0], each]
    second, crossing = nearest.copy(), np.zeros(len(at), np.bool_)
    for other in order[1:]:
        vector, far = turns[other, each], away[other, each]
        differs = (vector * nearest).sum(axis=1) < np.cos(np.radians(30))
        takes = (far < 0.5) & differs & ((nearest * second).sum(axis=1) > 0.999)
        second[takes] = vector[takes]
        crossing |= differs & (np.maximum(far, least) < 8)
    out[:4, wanted] = np.rint(np.column_stack([nearest, second]) * 127).T
    out[4, wanted] = crossing
    return out


def show(
    scene: np.ndarray, ways: np.ndarray, rng: np.random.Generator, seen_hw: tuple[int, int] = SEEN_HW
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One look at a scene, in a picture of size `seen_hw`.

    Returns:
        Planes (6, h / 2, w / 2), share of road of each cell, and `directions` (5, h / 4, w / 4) as floats.
    """
    (height, width), (h, w) = SIZE_HW, seen_hw
    # Up to twice as near, so that many a road is cut by the border; up to 1.8 times farther, and then in the middle of
    # its own reflection.
    zoom = h / height * float(np.exp(rng.uniform(-0.1, 0.75) if rng.random() < 0.7 else rng.uniform(-0.6, -0.1)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 8)), zoom)
    play = np.maximum(np.array([width * zoom - w, height * zoom - h]), 0) / 2
    turn[:, 2] += np.array([w - width, h - height]) / 2 + rng.uniform(-1, 1, 2) * play
    # A cell of a frame is the mean of a hundred pixels.
    if rng.random() < 0.8:
        scene = cv2.GaussianBlur(scene, (5, 5), float(rng.uniform(0.3, 1.1)))
    seen = cv2.warpAffine(scene, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    flips = rng.choice([-1, 1]), rng.choice([-1, 1])
    seen = seen[:: flips[0], :: flips[1]]
    road = np.ascontiguousarray(seen[..., 3]).astype(np.float32) / 255
    picture = changed(np.ascontiguousarray(seen[..., :3]), road, rng)
    share = cv2.resize(road, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    return network_planes(chroma(picture)), share, _ways_shown(ways, turn, flips, seen_hw)


def _ways_shown(ways: np.ndarray, turn: np.ndarray, flips: tuple[int, int], seen_hw: tuple[int, int]) -> np.ndarray:
    """`directions` as `show` turns, moves and mirrors them; all zero beyond the picture."""
    h, w = seen_hw
    # Of every fourth pixel here, too.
    moved = np.column_stack([turn[:, :2], (turn[:, :2] @ (1.5, 1.5) + turn[:, 2] - 1.5) / 4])
    planes = ways.transpose(1, 2, 0).astype(np.float32) / np.array([127, 127, 127, 127, 1], np.float32)
    c1, s1, c2, s2, crossing = cv2.split(
        cv2.warpAffine(planes, moved, (-(-w // 4), -(-h // 4)), flags=cv2.INTER_NEAREST)
    )
    angle = 2 * np.arctan2(turn[0, 1], turn[0, 0])
    out = []
    for c, s in ((c1, s1), (c2, s2)):
        out += [c * np.cos(angle) - s * np.sin(angle), (s * np.cos(angle) + c * np.sin(angle)) * flips[0] * flips[1]]
    return np.ascontiguousarray(np.stack([*out, crossing])[:, :: flips[0], :: flips[1]])


def changed(small: np.ndarray, road: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same scene of other stuff under another camera and sky."""
    # Most pictures are changed a lot, some hardly.
    much = float(rng.uniform(0.1, 1.0))
    light = cv2.LUT(small, (np.linspace(0, 1, 256) ** np.exp(much * rng.uniform(-0.3, 0.3))).astype(np.float32))
    soft = cv2.blur(road, (3, 3))[..., None]
    for _ in range(int(rng.integers(0, 3) * (rng.random() < 0.2 + 0.8 * much))):
        light = _land_changed(light, soft, rng)
    if rng.random() < 0.3:
        light = _flooded(light, road, rng)
    if rng.random() < 0.25:  # a smooth road
        light -= soft * float(rng.uniform(0.3, 1)) * (light - cv2.blur(light, (9, 9)))
    if rng.random() < 0.8:
        light *= 1 + soft * (_tint(rng, 0.25 * much, 0.055 * much) - 1)
    if rng.random() < 0.35:
        light *= _shadow(light.shape[:2], rng)
    mean = light.mean(axis=(0, 1))
    light = mean + (light - mean) * float(np.exp(much * rng.uniform(-0.5, 0.2)))
    grey = light.mean(axis=2, keepdims=True)
    light = grey + (light - grey) * float(np.exp(much * rng.uniform(-0.7, 0.35)))
    light *= float(np.exp(much * rng.uniform(-0.9, 0.4))) * _tint(rng, 0.0, 0.07 * much)
    if rng.random() < 0.3:
        light = cv2.GaussianBlur(light, (5, 5), float(rng.uniform(0.4, 1.3)))
    noise = np.empty(light.shape, np.float32)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.randn(noise, 0.0, float(rng.uniform(0, 0.012)))
    return cv2.convertScaleAbs(np.maximum(light + noise, 0), alpha=255.0)


def _tint(rng: np.random.Generator, tone: float, colour: float) -> np.ndarray:
    return np.exp(rng.normal(0, tone) + rng.normal(0, colour, 3)).astype(np.float32)


def _land_changed(light: np.ndarray, road: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One kind of land in another tint; now and then in the road's."""
    tone = cv2.blur(light, (9, 9))
    land = np.argwhere(road[::4, ::4, 0] < 0.1) * 4
    if not len(land):
        return light
    r, c = land[int(rng.integers(len(land)))]
    steps = np.log((cv2.resize(tone, None, fx=0.25, fy=0.25) + 0.03) / (tone[r, c] + 0.03))
    away = cv2.resize(np.abs(steps).max(axis=2), tone.shape[1::-1])
    share = np.clip(2 - away / float(rng.uniform(0.06, 0.2)), 0, 1)[..., None] * (1 - road)
    paved = road[..., 0] > 0.9
    if rng.random() < 0.3 and paved.any():
        tint = np.median(light[paved], axis=0) / (tone[r, c] + 0.02) * _tint(rng, 0.1, 0.02)
    else:
        tint = _tint(rng, 0.25, 0.1)
    return light * (1 + share * (np.clip(tint, 0.2, 4) - 1).astype(np.float32))


def _flooded(light: np.ndarray, road: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A smooth surface up to a winding shore: water, sand, rock; half of the time in the road's colour."""
    h, w = road.shape
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * (np.arange(w)[None] - w / 2) + np.sin(angle) * (np.arange(h)[:, None] - h / 2)
    cells = int(rng.integers(2, 12))
    coarse = rng.standard_normal((cells, cells)).astype(np.float32)
    winding = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_CUBIC)
    wet = along > rng.uniform(-60, 160) + float(rng.uniform(3, 40)) * winding
    wet &= cv2.dilate(road, np.ones((25, 25), np.uint8)) < 0.1
    paved = road > 0.9
    colour = np.median(light[paved], axis=0) if paved.any() and rng.random() < 0.6 else rng.uniform(0.1, 0.6, 3) ** 0.9
    tone = cv2.blur(light, (9, 9))
    detail = float(rng.uniform(0, 0.5)) * (light / (tone + 0.02) - 1)
    surface = colour * _tint(rng, 0.15, 0.05) * (1 + detail + 0.05 * winding[..., None])
    share = cv2.GaussianBlur(wet.astype(np.float32), (0, 0), float(rng.uniform(0.4, 2)))[..., None]
    return (light + share * (surface - light)).astype(np.float32)


def _shadow(hw: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A band or a crowd of spots of shadow."""
    h, w = hw
    if rng.random() < 0.5:
        angle = rng.uniform(0, np.pi)
        across = np.cos(angle) * np.arange(w)[None] + np.sin(angle) * np.arange(h)[:, None]
        shade = np.abs(across - rng.uniform(across.min(), across.max())) < rng.uniform(5, 60)
    else:
        coarse = rng.standard_normal((h // 12, w // 12)).astype(np.float32)
        shade = cv2.resize(cv2.GaussianBlur(coarse, (0, 0), float(rng.uniform(0.5, 2))), (w, h)) > 0.35
    soft = cv2.GaussianBlur(shade.astype(np.float32), (0, 0), float(rng.uniform(0.5, 2)))[..., None]
    return 1 - soft * (1 - float(rng.uniform(0.3, 0.7)) * np.array([0.95, 1.0, 1.1], np.float32))


def loss_of(logit: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Cross entropy of cells and, of whole pictures, one minus the soft IoU."""
    cells = nn.functional.binary_cross_entropy_with_logits(logit, share)
    found = torch.sigmoid(logit)
    both = (found * share).sum(dim=(1, 2, 3))
    union = (found + share - found * share).sum(dim=(1, 2, 3))
    return cells + 0.3 * (1 - (both + 40) / (union + 40)).mean()


def way_loss(way: torch.Tensor, ways: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Difference of directions on the road, where two overlap from the nearer one; crossings count threefold.

    Args:
        way: Directions and where roads meet, shape (B, 3, h, w).
        ways: Shape (B, 5, h', w') with h' up to twice h, from `directions`.
        share: Share of road of the cells of `ways`, shape (B, h', w').
    """
    way = nn.functional.interpolate(way, scale_factor=2.0, mode="bilinear")[..., : ways.shape[2], : ways.shape[3]]
    # The difference, not its square: what is nearly right is to become right, and of two ways one is taken.
    way, met = way[:, :2], way[:, 2]
    one, two = ((way - ways[:, k : k + 2]).square().sum(dim=1) for k in (0, 2))
    weight = (1 + 2 * ways[:, 4]) * share * (ways[:, :2].norm(dim=1) > 0.5)
    astray = ((torch.minimum(one, two) + 1e-4).sqrt() * weight).sum() / weight.sum().clamp(min=1)
    meet = nn.functional.binary_cross_entropy_with_logits(met, ways[:, 4], weight=share, reduction="sum")
    return astray + MEET_WEIGHT * meet / share.sum().clamp(min=1)


class Looks(torch.utils.data.IterableDataset):
    """Looks without end at the scenes of a folder, or at those of them with roads."""

    def __init__(self, cache: Path, seen_hw: tuple[int, int] = SEEN_HW, *, roads_only: bool = False) -> None:
        self.cache, self.seen_hw, self.roads_only = cache, seen_hw, roads_only

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([SEED, 0 if info is None else info.seed % 1000])
        cv2.setNumThreads(1)
        for number in itertools.count():
            if number % 1000 == 0:  # another process may still render
                paths = sorted(self.cache.glob("*_?.npy"))
            path = paths[int(rng.integers(len(paths)))]
            with path.open("rb") as file:
                scene = np.load(file)
                try:
                    ways = np.load(file)
                except EOFError as error:
                    raise ValueError(f"{path} was drawn before directions were; empty the --cache folder") from error
            if self.roads_only and not ways[:2].any():
                continue
            yield show(scene, ways, rng, self.seen_hw)


def padded(planes: torch.Tensor) -> torch.Tensor:
    """Planes with their lower and right sides mirrored to multiples of 16, as the finder does."""
    h, w = planes.shape[-2:]
    return nn.functional.pad(planes, (0, -w % 16, 0, -h % 16), mode="reflect")


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Weights of a .pt file; those of directions may be missing, or be of the one layer that they had at first."""
    weights = {k: v for k, v in torch.load(path).items() if k not in ("way.weight", "way.bias")}
    whole = RoadNet().state_dict()
    missing = {k for k in whole.keys() - weights.keys() if not k.startswith("way.")}
    if missing or weights.keys() - whole.keys():
        raise SystemExit(f"{path} holds other weights than this network's; give a .pt file that this script wrote")
    return weights


class Seen(torch.utils.data.IterableDataset):
    """What a network sees of looks without end at the roads of a folder, at the size at which frames are seen."""

    def __init__(self, cache: Path, net: RoadNet) -> None:
        self.looks, self.net = Looks(cache, SIZE_HW, roads_only=True), net

    def __iter__(self):
        torch.set_num_threads(1)
        batch = []
        for look in self.looks:
            batch.append(look)
            if len(batch) == BATCH:
                planes, share, ways = (torch.from_numpy(np.stack(parts)) for parts in zip(*batch, strict=True))
                with torch.no_grad():
                    _, seen = self.net.see(padded(planes).contiguous(memory_format=torch.channels_last))
                on_road = nn.functional.avg_pool2d(share[:, None], 2, ceil_mode=True)[:, 0]
                yield [*(part.half() for part in seen), ways.half(), on_road.half()]
                batch = []


def warm_and_cold(step: int, done: float) -> float:
    """Share of the learning rate at a step, with that share of the time gone: a warm start and a cold end."""
    return float(min((step + 1) / 100, 0.5 * (1 + np.cos(np.pi * done)) + 0.005))


def train_ways(cache: Path, minutes: float, out: Path, start: Path, rate: float) -> RoadNet:
    """Train directions alone: what is road stays as it is, to the last bit.

    What the network sees of a look is computed once and kept among the last `KEPT` batches, and each new batch is
    followed by `AGAIN` steps on looks drawn from all that are kept.
    """
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net = RoadNet().to(memory_format=torch.channels_last).eval()
    net.load_state_dict(read_weights(start), strict=False)
    branch = net.way.train()
    optimiser = torch.optim.AdamW(branch.parameters(), rate, weight_decay=0.02)
    mean = torch.optim.swa_utils.AveragedModel(
        branch, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    trunk = copy.deepcopy(net)
    kept: list[list[torch.Tensor]] = []
    rng = np.random.default_rng(SEED)
    begin, step, losses, new = time.monotonic(), 0, [], 0
    for batch in torch.utils.data.DataLoader(Seen(cache, trunk), batch_size=None, num_workers=1, prefetch_factor=8):
        done = (time.monotonic() - begin) / (60 * minutes)
        if done >= 1:
            break
        batch = [part.clone() for part in batch]
        if len(kept) < KEPT:
            kept.append(batch)
        else:
            kept[new % KEPT] = batch
        new += 1
        if len(kept) < 40:
            continue
        for _ in range(AGAIN):
            for group in optimiser.param_groups:
                group["lr"] = rate * warm_and_cold(step, done)
            one = rng.integers(len(kept), size=2 * BATCH)
            two = rng.integers(BATCH, size=2 * BATCH)
            parts = [
                torch.stack([kept[i][k][j] for i, j in zip(one, two, strict=True)]).float() for k in range(len(batch))
            ]
            way = branch(*(part.contiguous(memory_format=torch.channels_last) for part in parts[:3]))
            loss = way_loss(way, *parts[3:])
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            mean.update_parameters(branch)
            losses.append(loss.item())
            step += 1
            if step % 200 == 0:
                print(f"{step} {done:.3f} {new} new, directions {np.mean(losses[-200:]):.4f}", flush=True)
            if step % 2000 == 0:
                averaged = {f"way.{name}": value for name, value in mean.module.state_dict().items()}
                torch.save(net.state_dict() | averaged, out.with_suffix(".pt"))
    net.way.load_state_dict(mean.module.state_dict())
    return net


def train(cache: Path, minutes: float, out: Path, start: Path | None, rate: float) -> RoadNet:
    """AdamW with a warm and a cold end, as many steps as the time allows; the mean of the last weights is kept."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net = RoadNet().to(memory_format=torch.channels_last)
    if start:
        net.load_state_dict(read_weights(start), strict=False)
    count = len(list(cache.glob("*_?.npy")))
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {count} pictures", flush=True)
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.02)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    bf16 = "bf16" in fast_precisions()
    begin, step, losses = time.monotonic(), 0, []
    for planes, share, ways in torch.utils.data.DataLoader(
        Looks(cache), batch_size=BATCH, num_workers=1, prefetch_factor=4
    ):
        done = (time.monotonic() - begin) / (60 * minutes)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * warm_and_cold(step, done)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logit, way = net(padded(planes).contiguous(memory_format=torch.channels_last))
        loss = loss_of(logit[..., : share.shape[1], : share.shape[2]].float(), share[:, None])
        astray = way_loss(way.float(), ways, nn.functional.avg_pool2d(share, 2))
        loss = loss + WAY_WEIGHT * astray
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        mean.update_parameters(net)
        losses.append([loss.item(), astray.item()])
        step += 1
        if step % 50 == 0:
            print(f"{step} {done:.3f} loss, directions {np.mean(losses[-50:], axis=0)}", flush=True)
        if step % 200 == 0:
            torch.save(mean.module.state_dict(), out.with_suffix(".pt"))
            export(mean.module, out)
    return mean.module


def export(net: RoadNet, out: Path) -> None:
    """Write ONNX; batch normalisation is folded into the convolutions, and weights are stored in 16 bits."""
    net = copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, torch.zeros(1, PLANES, *PADDED_HW), str(out), input_names=["planes"], output_names=["logit", "way"],
            dynamic_axes={name: {2: "h", 3: "w"} for name in ("planes", "logit", "way")}, opset_version=17,
            dynamo=False,
        )  # fmt: skip
    model = onnx.load(out)
    casts = []
    for weights in model.graph.initializer:
        if weights.data_type == onnx.TensorProto.FLOAT and np.prod(weights.dims) > 100:
            name = weights.name
            half = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weights).astype(np.float16), f"{name}_half")
            weights.CopyFrom(half)
            casts.append(onnx.helper.make_node("Cast", [half.name], [name], to=onnx.TensorProto.FLOAT))
    for place, cast in enumerate(casts):
        model.graph.node.insert(place, cast)
    onnx.checker.check_model(model)
    onnx.save(model, out)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=0)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--start", type=Path, help="weights (.pt) to go on from")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--ways-only", action="store_true", help="train directions alone, from --start")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    render_scenes(options.scenes, options.cache)
    if options.ways_only and not options.start:
        parser.error("--ways-only needs --start, the weights whose directions it trains")
    learn = train_ways if options.ways_only else train
    net = learn(options.cache, options.minutes, options.out, options.start, options.rate)
    torch.save(net.state_dict(), options.out.with_suffix(".pt"))
    export(net, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
