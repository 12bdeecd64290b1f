"""Train the small classifiers of `find_road` on generated scenes and write ``src/fissura/road/weights.json``.

    python benchmarks/road_train.py [--scenes 400] [--cache FOLDER]

Only worlds of the family ``tuning`` and seeds below 1000 are used; ``road_report.py`` measures on others.

- Pavement: thirteen features of a cell (colour, lightness, texture) to the logit of pavement; one hidden layer of 32.
  Every scene is seen five times, four times with another tint of the road, exposure, contrast, white balance and noise.
- Piece: eight features of shape and look of a connected piece of pavement to the logit of road.
- Shape: those of shape alone, of roads against fields, woods and ponds. Logistic regressions with fixed signs, both.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from scipy.optimize import minimize

from fissura.road.appearance import (
    FEATURES,
    Layers,
    chroma,
    pavement_features,
    pavement_logit,
    reduce_frame,
    settle_tones,
)
from fissura.road.find import candidate_pieces
from fissura.road.shape import NAMES, SIGNS, measure_pieces, split_pieces
from fissura.road.weights import PieceWeights, Weights

HIDDEN, CELLS, TIMES = 48, 1500, 5
LAND_WEIGHT = 0.3
LOOK = [NAMES.index(name) for name in ("edge seen", "mean logit", "weak share")]
SIZE_HW = (1080, 1920)
EMPTY = Layers(np.zeros((1, FEATURES), np.float32), np.zeros(1, np.float32), np.zeros(1, np.float32), 0.0)
NOTHING = PieceWeights(np.zeros(1), np.zeros(1), np.zeros(1), 0.0)
WEIGHTS = Path(__file__).resolve().parent.parent / "src" / "fissura" / "road" / "weights.json"


def load_scene(seed: int, cache: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Reduced picture and road mask of a training scene."""
    from road_scenes import draw_view

    path = cache / f"{seed:04d}.npz" if cache else None
    if path and path.exists():
        with np.load(path) as file:
            return file["small"], file["road"]
    view = draw_view(seed, "tuning", SIZE_HW)
    small = reduce_frame(view.rgb)
    road = cv2.resize(view.road.astype(np.float32), small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0.5
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, small=small, road=road)
    return small, road


def changed(small: np.ndarray, road: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same scene with another road surface and under another camera: tint, contrast, exposure, balance, noise."""
    light = (small.astype(np.float32) / 255) ** rng.uniform(0.8, 1.28)
    surface = np.exp(rng.normal(0, 0.2) + rng.normal(0, 0.045, 3)).astype(np.float32)
    share = cv2.blur(road.astype(np.float32), (3, 3))[..., None]
    light *= 1 + share * (surface - 1)
    light *= rng.uniform(0.6, 1.4) * np.exp(rng.normal(0, 0.065, 3)).astype(np.float32)
    light += rng.normal(0, rng.uniform(0, 0.008), light.shape).astype(np.float32)
    return np.clip(light * 255, 0, 255).astype(np.uint8)


def train_network(x: np.ndarray, y: np.ndarray, rng: np.random.Generator, *, steps: int = 20000) -> Layers:
    """Adam with a warm and a cold end; weights decay a little."""
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    x = ((x - mean) / deviation).astype(np.float32)
    y = y.astype(np.float32)
    shapes = [(HIDDEN, x.shape[1]), (HIDDEN,), (HIDDEN,), ()]
    values = [rng.normal(0, 1 / np.sqrt(s[-1] if s else 1), s).astype(np.float32) for s in shapes[:1]]
    values += [rng.uniform(-0.1, 0.1, s).astype(np.float32) for s in shapes[1:]]
    first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
    for step in range(1, steps + 1):
        index = rng.integers(0, len(x), 4096)
        a, t = x[index], y[index]
        w, b, out, bias = values
        h = np.maximum(a @ w.T + b, 0)
        delta = (1 / (1 + np.exp(-(h @ out + bias))) - t) / len(t)
        back = delta[:, None] * out * (h > 0)
        grads = [back.T @ a, back.sum(axis=0), h.T @ delta, delta.sum()]
        rate = 0.01 * min(step / 500, 0.5 * (1 + np.cos(np.pi * step / steps)))
        for k, grad in enumerate(grads):
            first[k] = 0.9 * first[k] + 0.1 * grad
            second[k] = 0.999 * second[k] + 0.001 * np.square(grad)
            move = first[k] / (1 - 0.9**step) / (np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8)
            values[k] = (values[k] * (1 - rate * 0.1) - rate * move).astype(np.float32)
    w, b, out, bias = values
    w = w / deviation
    return Layers(w.astype(np.float32), (b - w @ mean).astype(np.float32), out, float(bias))


def train_pieces(samples: Samples, *, ridge: float = 5.0) -> dict:
    """Logistic regression whose weights keep to `SIGNS`; features are clipped to their middle 96 %."""
    x, y, weight = samples.x, samples.road, samples.weight()
    low, high = np.percentile(x, 2, axis=0), np.percentile(x, 98, axis=0)
    clipped = np.clip(x, low, high)
    mean, deviation = clipped.mean(axis=0), clipped.std(axis=0) + 1e-9
    a = np.column_stack([(clipped - mean) / deviation, np.ones(len(x))])

    def loss(beta: np.ndarray) -> tuple[float, np.ndarray]:
        z = a @ beta
        slope = beta[:-1]
        value = (weight * (np.logaddexp(0, z) - y * z)).sum() + 0.5 * ridge * (slope**2).sum()
        return value, a.T @ (weight * (1 / (1 + np.exp(-z)) - y)) + ridge * np.append(slope, 0)

    bounds = [(0, None) if sign > 0 else (None, 0) for sign in SIGNS] + [(None, None)]
    beta = minimize(loss, np.zeros(a.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B").x
    slope = beta[:-1] / deviation
    return {"low": low, "high": high, "weight": slope, "bias": float(beta[-1] - slope @ mean)}


def gather_cells(
    scenes: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    x, y = [], []
    for small, road in scenes:
        for time in range(TIMES):
            features = pavement_features(chroma(changed(small, road, rng) if time else small)).reshape(FEATURES, -1)
            index = rng.integers(0, features.shape[1], CELLS)
            x.append(features[:, index].T)
            y.append(road.reshape(-1)[index])
    return np.concatenate(x), np.concatenate(y)


@dataclass(frozen=True, eq=False)
class Samples:
    """Pieces to learn from: features (N, F), whether each is road, its share of the frame, its scene, if it is land."""

    x: np.ndarray
    road: np.ndarray
    share: np.ndarray
    scene: np.ndarray
    land: np.ndarray

    def weight(self) -> np.ndarray:
        """What matters is how much of the picture is judged rightly; specks hardly do. Land has many pieces."""
        weight = np.sqrt(self.share) * np.where(self.land, LAND_WEIGHT, 1.0)
        return weight / weight.mean()

    def of(self, which: np.ndarray) -> Samples:
        return Samples(self.x[which], self.road[which], self.share[which], self.scene[which], self.land[which])


def fit_settled(scenes: list, layers: Layers, rng: np.random.Generator) -> tuple[float, float]:
    """Slope and offset that turn the settled logit into one that means what it says, by Newton's method."""
    x, y = [], []
    for small, road in scenes[::2]:
        colour = chroma(small)
        index = rng.integers(0, road.size, CELLS)
        x.append(settle_tones(pavement_logit(colour, layers), colour).reshape(-1)[index])
        y.append(road.reshape(-1)[index])
    a = np.column_stack([np.concatenate(x), np.ones(CELLS * len(x))]).astype(np.float64)
    t = np.concatenate(y)
    beta = np.array([1.0, 0.0])
    for _ in range(20):
        p = 1 / (1 + np.exp(-a @ beta))
        beta -= np.linalg.solve((a * (p * (1 - p))[:, None]).T @ a, a.T @ (p - t))
    print(f"settled: {((a @ beta > 0) == t).mean():.4f} of the cells right")
    return float(beta[0]), float(beta[1])


def gather_pieces(scenes: list, weights: Weights, rng: np.random.Generator) -> Samples:
    """Pieces of pavement, and of land and water."""
    x, road, share, scene = [], [], [], []
    for number, (small, truth) in enumerate(scenes):
        for time in range(TIMES):
            colour = chroma(changed(small, truth, rng) if time else small)
            logit, _ = weights.see_cells(colour)
            pieces = candidate_pieces(logit, colour)
            on_road = np.bincount(pieces.labels.reshape(-1), truth.reshape(-1), len(pieces.area) + 1)[1:] / pieces.area
            sure = (on_road > 0.7) | (on_road < 0.3)
            x.append(measure_pieces(pieces, logit, colour)[sure])
            road.append(on_road[sure] > 0.5)
            share.append(pieces.area[sure] / logit.size)
            scene.append(np.full(int(sure.sum()), number))
    count = sum(map(len, x))
    for number, (small, truth) in enumerate(scenes):
        features, sizes = measure_land(small, truth)
        x.append(features)
        road.append(np.zeros(len(features), np.bool_))
        share.append(sizes)
        scene.append(np.full(len(features), number))
    land = np.arange(sum(map(len, x))) >= count
    return Samples(*(np.concatenate(part) for part in (x, road, share, scene)), land)


def measure_land(small: np.ndarray, road: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features and shares of the frame of pieces of land and water: areas of one colour that are no road."""
    blurred = cv2.blur(small, (15, 15))
    colours = blurred[::4, ::4].reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(1)
    _, _, centres = cv2.kmeans(colours, 4, None, (cv2.TERM_CRITERIA_MAX_ITER, 12, 0), 1, cv2.KMEANS_PP_CENTERS)
    nearest = np.linalg.norm(blurred[:, :, None].astype(np.float32) - centres, axis=3).argmin(axis=2)
    rows, shares = [np.zeros((0, len(NAMES)))], [np.zeros(0)]
    for k in range(4):
        mask = cv2.morphologyEx((nearest == k).view(np.uint8), cv2.MORPH_OPEN, np.ones((9, 9), np.uint8)) > 0
        pieces = split_pieces(mask, mask.size // 60)
        on_road = np.bincount(pieces.labels.reshape(-1), road.reshape(-1), len(pieces.area) + 1)[1:] / pieces.area
        rows.append(measure_pieces(pieces, np.zeros(mask.shape, np.float32), chroma(small))[on_road < 0.1])
        shares.append(pieces.area[on_road < 0.1] / mask.size)
    return np.concatenate(rows), np.concatenate(shares)


def fit_pieces(samples: Samples) -> tuple[dict, dict]:
    """Roads against other pavement by shape and look; roads against land and water by shape alone."""
    shapes = samples.of(samples.road | samples.land)
    blind = shapes.x.copy()
    blind[:, LOOK] = 0
    return train_pieces(samples.of(~samples.land)), train_pieces(replace(shapes, x=blind))


def score_pieces(fits: tuple[dict, dict], samples: Samples) -> tuple[float, float]:
    """Share of the pieces' area that is judged rightly: pavement by both, land by its shape."""
    piece, shape = (PieceWeights(*(fit[key] for key in ("low", "high", "weight", "bias"))) for fit in fits)
    right = (Weights(EMPTY, (1.0, 0.0), piece, shape).road_logit(samples.x, samples.share) > 0) == samples.road
    land = (shape.logit(samples.x) > 0) == samples.road
    kinds = samples.land
    return (
        float(np.average(right[~kinds], weights=samples.share[~kinds])),
        float(np.average(land[kinds], weights=samples.share[kinds])),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    scenes = []
    for seed in range(options.scenes):
        scenes.append(load_scene(seed, options.cache))
        if seed % 50 == 49:
            print(f"{seed + 1} scenes", file=sys.stderr)
    x, y = gather_cells(scenes, rng)
    layers = train_network(x, y, rng)
    right = (layers.logit(x.T) > 0) == y
    print(f"pavement: {len(x)} cells, {right.mean():.4f} right")
    settled = fit_settled(scenes, layers, rng)
    samples = gather_pieces(scenes, Weights(layers, settled, NOTHING, NOTHING), rng)
    folds = [samples.scene // 10 % 5 == k for k in range(5)]
    held = [score_pieces(fit_pieces(samples.of(~fold)), samples.of(fold)) for fold in folds]
    fits = fit_pieces(samples)
    count, (pavement, land) = int((~samples.land).sum()), np.mean(held, axis=0)
    print(
        f"pieces: {count} and {len(samples.x) - count} of land; "
        f"in held-out scenes {pavement:.4f} and {land:.4f} of the area right"
    )
    deviation = np.clip(samples.x, fits[0]["low"], fits[0]["high"]).std(axis=0)
    for name, piece, shape in zip(NAMES, *(fit["weight"] * deviation for fit in fits), strict=True):
        print(f"  {name:16} {piece:6.2f} {shape:6.2f}")
    write(options.out, layers, settled, fits)
    return 0


def write(path: Path, layers: Layers, settled: tuple[float, float], fits: tuple[dict, dict]) -> None:
    def short(values: object) -> object:
        return json.loads(json.dumps(np.asarray(values, np.float64).round(5).tolist()))

    raw = {
        "made_by": "benchmarks/road_train.py",
        "pavement": {"hidden": short(layers.hidden), "hidden_bias": short(layers.hidden_bias),
                     "out": short(layers.out), "out_bias": short(layers.out_bias)},
        "settled": short(settled),
        "piece": {key: short(value) for key, value in fits[0].items()},
        "shape": {key: short(value) for key, value in fits[1].items()},
    }  # fmt: skip
    text = (
        json.dumps(raw, separators=(",", ":"))
        .replace('"piece"', '\n"piece"')
        .replace('"shape"', '\n"shape"')
        .replace("],[", "],\n[")
    )
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
