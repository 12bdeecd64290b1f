from copy import deepcopy

import pytest
import torch
from torch import nn

from fissura.train.muon import Muon, orthogonalised


@pytest.mark.parametrize("shape", [(2, 6, 20), (1, 20, 6), (3, 8, 8)])
def test_singular_values_become_about_equal(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    after = torch.linalg.svdvals(orthogonalised(matrices))
    assert orthogonalised(matrices).shape == shape
    spread = torch.linalg.svdvals(matrices)
    assert float(after.std()) < 0.5 * float(spread.std())
    assert float(after.median()) > 0.6  # a small one among the random values may still be on its way
    assert float(after.max()) < 1.3


def test_scale_of_the_gradient_does_not_matter_for_matrices():
    torch.manual_seed(1)
    start, gradient = torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3)
    moved = []
    for factor in (1.0, 1000.0):
        weight = nn.Parameter(start.clone())
        weight.grad = gradient * factor
        Muon([weight], lr=0.1).step()
        moved.append(weight.detach())
    assert torch.allclose(moved[0], moved[1], atol=1e-4)
    assert not torch.allclose(moved[0], start)


def test_vectors_take_adams_first_step():
    bias = nn.Parameter(torch.zeros(3))
    bias.grad = torch.tensor([2.0, -0.5, 0.0])
    Muon([bias], lr=0.1).step()
    assert torch.allclose(bias.detach(), torch.tensor([-0.1, 0.1, 0.0]), atol=1e-5)


def test_finds_the_minimum_of_a_quadratic():
    torch.manual_seed(2)
    target = torch.randn(5, 7)
    weight = nn.Parameter(torch.zeros(5, 7))
    optimizer = Muon([weight], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        ((weight - target) ** 2).sum().backward()
        optimizer.step()
    assert float((weight - target).abs().max()) < 0.15


def test_state_survives_saving():
    torch.manual_seed(3)
    first = nn.Parameter(torch.randn(4, 4))
    optimizer = Muon([first], lr=0.1)
    first.grad = torch.randn(4, 4)
    optimizer.step()
    second = nn.Parameter(first.detach().clone())
    other = Muon([second], lr=0.1)
    other.load_state_dict(deepcopy(optimizer.state_dict()))
    gradient = torch.randn(4, 4)
    for weight, one in ((first, optimizer), (second, other)):
        weight.grad = gradient.clone()
        one.step()
    assert torch.equal(first, second)
