"""Train the network of `find_road` that sees the whole frame, and write ``src/fissura/road/road.onnx``.

    python benchmarks/road_network_train.py --cache FOLDER --scenes 180 [--minutes 30] [--start WEIGHTS.pt]

The file that is shipped was trained on 530 pictures (of the worlds 0 to 51, 100 to 228, 5000 to 5012), for about 2,000
steps of 8 looks in four pieces: each went on from the one before by ``--start``, the last with ``--rate 1.5e-3``;
only the last saw floods (`_flooded`). 3,600 more steps (``--start``, ``--rate 2e-3``) saw the nearer looks and the
darker days that `show` and `changed` draw now. `road_train.py` was run before, without this network.

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
import torch
from torch import nn

from fissura.road.appearance import PLANES, chroma, network_planes

SIZE_HW = (405, 720)
SEEN_HW = (270, 480)
PADDED_HW = (144, 240)
BATCH, RATE, SEED = 8, 3e-3, 1
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
    """Planes (B, 6, h, w) to logits of road (B, 1, h, w); h and w are multiples of 16.

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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        levels = [self.stem(x)]
        for down in self.down:
            levels.append(down(levels[-1]))
        y = self.wide(levels.pop())
        for narrow, up in zip(reversed(self.narrow), reversed(self.up), strict=True):
            y = nn.functional.interpolate(narrow(y), scale_factor=2.0, mode="nearest")
            y = up(y + levels.pop())
        return self.head(y)


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
            np.save(cache / f"{seed:05d}_{number}.npy", np.dstack([view.rgb, view.road.astype(np.uint8) * 255]))


def show(scene: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One look at a scene: planes (6, h / 2, w / 2) and share of road of each cell."""
    (height, width), (h, w) = SIZE_HW, SEEN_HW
    # Up to twice as near, so that many a road is cut by the border; up to 1.8 times farther, and then in the middle of
    # its own reflection.
    zoom = h / height * float(np.exp(rng.uniform(-0.1, 0.75) if rng.random() < 0.7 else rng.uniform(-0.6, -0.1)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), float(rng.normal(0, 8)), zoom)
    play = np.maximum(np.array([width * zoom - w, height * zoom - h]), 0) / 2
    turn[:, 2] += np.array([w - width, h - height]) / 2 + rng.uniform(-1, 1, 2) * play
    if rng.random() < 0.5:
        scene = cv2.GaussianBlur(scene, (3, 3), float(rng.uniform(0.4, 0.9)))
    seen = cv2.warpAffine(scene, turn, (w, h), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    seen = seen[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])]
    road = np.ascontiguousarray(seen[..., 3]).astype(np.float32) / 255
    picture = changed(np.ascontiguousarray(seen[..., :3]), road, rng)
    share = cv2.resize(road, (w // 2, h // 2), interpolation=cv2.INTER_AREA)
    return network_planes(chroma(picture)), share


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


class Looks(torch.utils.data.IterableDataset):
    """Looks without end at the scenes of a folder."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([SEED, 0 if info is None else info.seed % 1000])
        cv2.setNumThreads(1)
        for number in itertools.count():
            if number % 1000 == 0:  # another process may still render
                paths = sorted(self.cache.glob("*_?.npy"))
            yield show(np.load(paths[int(rng.integers(len(paths)))]), rng)


def padded(planes: torch.Tensor) -> torch.Tensor:
    """Planes with their lower and right sides mirrored to multiples of 16, as the finder does."""
    h, w = planes.shape[-2:]
    return nn.functional.pad(planes, (0, PADDED_HW[1] - w, 0, PADDED_HW[0] - h), mode="reflect")


def train(cache: Path, minutes: float, out: Path, start: Path | None, rate: float) -> RoadNet:
    """AdamW with a warm and a cold end, as many steps as the time allows; the mean of the last weights is kept."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    net = RoadNet().to(memory_format=torch.channels_last)
    if start:
        net.load_state_dict(torch.load(start))
    count = len(list(cache.glob("*_?.npy")))
    print(f"{sum(p.numel() for p in net.parameters())} parameters, {count} pictures", flush=True)
    optimiser = torch.optim.AdamW(net.parameters(), rate, weight_decay=0.02)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.995), use_buffers=True
    )
    begin, step, losses = time.monotonic(), 0, []
    for planes, share in torch.utils.data.DataLoader(Looks(cache), batch_size=BATCH, num_workers=1, prefetch_factor=4):
        done = (time.monotonic() - begin) / (60 * minutes)
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 100, 0.5 * (1 + np.cos(np.pi * done)) + 0.005)
        with torch.autocast("cpu", torch.bfloat16):
            logit = net(padded(planes).contiguous(memory_format=torch.channels_last)).float()
        loss = loss_of(logit[..., : share.shape[1], : share.shape[2]], share[:, None])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        mean.update_parameters(net)
        losses.append(loss.item())
        step += 1
        if step % 50 == 0:
            print(f"{step} {done:.3f} loss {np.mean(losses[-50:]):.4f}", flush=True)
        if step % 200 == 0:
            torch.save(mean.module.state_dict(), out.with_suffix(".pt"))
            export(mean.module, out)
    return mean.module


def export(net: RoadNet, out: Path) -> None:
    """Write ONNX; batch normalisation is folded into the convolutions."""
    net = copy.deepcopy(net).eval().to(memory_format=torch.contiguous_format)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, torch.zeros(1, PLANES, *PADDED_HW), str(out), input_names=["planes"], output_names=["logit"],
            dynamic_axes={name: {2: "h", 3: "w"} for name in ("planes", "logit")}, opset_version=17, dynamo=False,
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=0)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--start", type=Path, help="weights (.pt) to go on from")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    render_scenes(options.scenes, options.cache)
    net = train(options.cache, options.minutes, options.out, options.start, options.rate)
    torch.save(net.state_dict(), options.out.with_suffix(".pt"))
    export(net, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
