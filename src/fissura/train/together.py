"""Several processes that train one network as one process would: the same samples, the same loss, the same step.

Each process takes its share of every batch. What looks at the whole batch would then see a share of it: the
statistics of BN, and losses that pool over the batch (Dice, skeleton recall, quiet). Here both see all of it. With
Lightning's averaging of the gradients a step is that of one process, but for rounding and for dropout.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import DataLoader, Sampler

from fissura.train.config import TrainConfig
from fissura.train.dataset import CropDataset


def processes() -> int:
    """How many train together; 1 outside a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.share = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(processes())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # Every process computes the loss of the whole batch. Their sum over the processes, which the averaging of
        # the parameters' gradients divides again.
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        start = dist.get_rank() * ctx.share
        return total[start : start + ctx.share]


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def gather_batch(x: Tensor) -> Tensor:
    """The shares of all processes in the order of the batch: (B / processes, ...) to (B, ...); differentiable."""
    return _AllGather.apply(x) if processes() > 1 else x


class SharedBatchNorm(nn.BatchNorm2d):
    """BN whose statistics are those of the whole batch. torch's own needs a GPU."""

    def forward(self, x: Tensor) -> Tensor:
        count = processes()
        if not self.training or count == 1:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            values = x.float()
            mean = _AllSum.apply(values.mean(dim=(0, 2, 3))) / count
            centred = values - mean[:, None, None]
            variance = _AllSum.apply(centred.square().mean(dim=(0, 2, 3))) / count
            self._remember(mean.detach(), variance.detach(), count * x.numel() // x.shape[1])
            scale = torch.rsqrt(variance + self.eps) * self.weight
            return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor, values: int) -> None:
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (values / max(values - 1, 1)), self.momentum)


def share_statistics(net: nn.Module) -> None:
    """Make all BN layers of a network `SharedBatchNorm`, in place; names and values of its state stay."""
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SharedBatchNorm


class ShareSampler(Sampler[int]):
    """The share of one process in every batch, in order, starting at any batch.

    Args:
        steps: Batches in all.
        batch: Samples of a whole batch.
        start: Batches that are done.
        rank: Which process.
        count: How many processes; divides the batch.
    """

    def __init__(self, steps: int, batch: int, start: int = 0, rank: int = 0, count: int = 1) -> None:
        self.steps, self.batch, self.start, self.rank, self.share = steps, batch, start, rank, batch // count

    def __iter__(self) -> Iterator[int]:
        for step in range(self.start, self.steps):
            first = step * self.batch + self.rank * self.share
            yield from range(first, first + self.share)

    def __len__(self) -> int:
        """All of them: Lightning counts what was done before the start as fetched."""
        return self.steps * self.share


class Crops(L.LightningDataModule):
    """The crops of a run. The loader is made when the processes know their number.

    Args:
        dataset: All samples.
        config: The run.
        start: Steps that are done.
    """

    def __init__(self, dataset: CropDataset, config: TrainConfig, start: int) -> None:
        super().__init__()
        self._dataset, self._config, self._start = dataset, config, start

    def train_dataloader(self) -> DataLoader[Any]:
        c, trainer = self._config, self.trainer
        rank, count = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        return DataLoader(
            self._dataset,
            batch_size=c.batch // count,
            sampler=ShareSampler(c.steps, c.batch, self._start, rank, count),
            num_workers=c.workers,
            persistent_workers=c.workers > 0,
        )
