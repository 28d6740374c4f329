"""Our kernels for small networks against torch's own operators."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'dualface[gpu]'")
import torch.nn.functional as nn  # noqa: E402

from dualface.infer import nhwc  # noqa: E402

pytestmark = pytest.mark.usefixtures("gpu")


def pictures(*shape: int) -> Any:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return made.half().cuda().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4, 10, 16, 64])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (28, 48), (112, 192)])
def test_depthwise(channels: int, size: tuple[int, int], biased: bool, relu: bool) -> None:
    x, w = pictures(3, channels, *size), pictures(channels, 1, 3, 3)
    b = pictures(1, channels, 1, 1).reshape(-1) if biased else None
    assert nhwc.takes_depthwise(x, w, [1, 1], [1, 1], [1, 1], channels)
    made = nhwc.depthwise(x, w, b, relu)
    wanted = nn.conv2d(x.float(), w.float(), None if b is None else b.float(), padding=1, groups=channels)
    wanted = wanted.relu() if relu else wanted
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(made.float(), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("channels", [8, 16, 64])
@pytest.mark.parametrize("size", [(2, 2), (6, 14), (112, 192)])
def test_halve(channels: int, size: tuple[int, int]) -> None:
    x = pictures(3, channels, *size)
    assert nhwc.takes_halve(x, [2, 2], [2, 2], [0, 0])
    assert torch.equal(nhwc.halve(x), nn.max_pool2d(x, 2, 2))


@pytest.mark.parametrize(
    ("pads", "strides", "dilations"),
    [([0, 0], [1, 1], [1, 1]), ([1, 1], [2, 2], [1, 1]), ([2, 2], [1, 1], [2, 2])],
)
def test_other_filters_are_left_to_torch(pads: list[int], strides: list[int], dilations: list[int]) -> None:
    x, w = pictures(1, 8, 8, 8), pictures(8, 1, 3, 3)
    assert not nhwc.takes_depthwise(x, w, pads, strides, dilations, 8)
    assert not nhwc.takes_depthwise(x.float(), w.float(), [1, 1], [1, 1], [1, 1], 8)
