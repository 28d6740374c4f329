"""The operators of ONNX that slide over pictures, or change their size, in torch; see `operators`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as nn
from torch import Tensor

from dualface.infer import nhwc

RELU = "_relu"  # our attribute of a Conv whose result only a Relu reads: it does both
Attributes = Mapping[str, Any]


def _padding(a: Attributes, x: Tensor, kernel: Sequence[int], fill: float) -> tuple[Tensor, list[int]]:
    """``x`` and the padding still to be done on both sides alike; uneven padding is done here."""
    n = len(kernel)
    auto = a.get("auto_pad", b"NOTSET").decode()
    pads = list(a.get("pads") or [0] * 2 * n)
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        strides, dilations = a.get("strides") or [1] * n, a.get("dilations") or [1] * n
        wanted = [
            max(0, (-(-size // s) - 1) * s + (k - 1) * d + 1 - size)
            for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True)
        ]
        less, more = [w // 2 for w in wanted], [w - w // 2 for w in wanted]
        pads = less + more if auto == "SAME_UPPER" else more + less
    begin, end = pads[:n], pads[n:]
    if begin == end:
        return x, begin
    sides = [side for pair in zip(reversed(begin), reversed(end), strict=True) for side in pair]
    return nn.pad(x, sides, value=fill), [0] * n


def conv(a: Attributes, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    n = w.dim() - 2
    relu = bool(a.get(RELU))
    if _pointwise(a, x, w):
        # A matrix product whose library adds the bias on the way, which that of convolutions does not.
        made = nn.linear(x.permute(0, 2, 3, 1), w[:, :, 0, 0], b).permute(0, 3, 1, 2)
        return made.relu_() if relu else made
    x, pads = _padding(a, x, w.shape[2:], 0)
    function = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}[n]
    strides, dilations = a.get("strides") or [1] * n, a.get("dilations") or [1] * n
    groups = a.get("group", 1)
    if nhwc.takes_depthwise(x, w, pads, strides, dilations, groups):
        return nhwc.depthwise(x, w, b, relu)
    result: Tensor = function(x, w, b, strides, pads, dilations, groups)
    return result.relu_() if relu else result


def _pointwise(a: Attributes, x: Tensor, w: Tensor) -> bool:
    """Whether this mixes the channels of each pixel, which lie side by side on a GPU."""
    plain = not any(a.get("pads") or ()) and all(s == 1 for s in a.get("strides") or ())
    inside = x.is_cuda and x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)
    return inside and plain and tuple(w.shape[2:]) == (1, 1) and a.get("group", 1) == 1


def max_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel = list(a["kernel_shape"])
    x, pads = _padding(a, x, kernel, float("-inf"))
    ones = [1] * len(kernel)
    if nhwc.takes_halve(x, kernel, a.get("strides") or ones, pads):
        return nhwc.halve(x)
    result: Tensor = nn.max_pool2d(
        x, kernel, a.get("strides") or ones, pads, a.get("dilations") or ones, bool(a.get("ceil_mode", 0))
    )
    return result


def average_pool(a: Attributes, x: Tensor) -> Tensor:
    kernel, counted = list(a["kernel_shape"]), bool(a.get("count_include_pad", 0))
    padded, pads = _padding(a, x, kernel, 0)
    if padded is not x and not counted:
        raise ValueError("its AveragePool pads unevenly, which is not supported")
    strides = a.get("strides") or [1] * len(kernel)
    return nn.avg_pool2d(padded, kernel, strides, pads, bool(a.get("ceil_mode", 0)), counted)


def resize(
    a: Attributes, x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Any = None
) -> Tensor:
    if sizes is not None and sizes.numel():
        size = [int(v) for v in sizes.tolist()]
    else:
        factors = scales.tolist() if scales is not None else a["scales"]
        size = [int(n * f) for n, f in zip(x.shape, factors, strict=True)]
    mode, where = a.get("mode", b"nearest"), a.get("coordinate_transformation_mode", b"half_pixel")
    whole = all(new % old == 0 for new, old in zip(size, x.shape, strict=True))
    twice = whole and all(new // old <= 2 for new, old in zip(size, x.shape, strict=True))
    if size[:2] == list(x.shape[:2]) and x.dim() == 4:
        if mode == b"nearest":
            down = a.get("nearest_mode", b"round_prefer_floor")
            # Where these differ, the pixel is another one.
            floor = where == b"asymmetric" and (down == b"floor" or (down == b"round_prefer_floor" and twice))
            centre = where in (b"half_pixel", b"pytorch_half_pixel") and down.startswith(b"round") and whole
            if floor or centre:
                return nn.interpolate(x, size[2:], mode="nearest")
        elif mode == b"linear" and where in (b"half_pixel", b"pytorch_half_pixel", b"align_corners"):
            return nn.interpolate(x, size[2:], mode="bilinear", align_corners=where == b"align_corners")
    raise ValueError(f"its Resize ({mode.decode()}, {where.decode()}, to {size}) is not supported")


def upsample(a: Attributes, x: Tensor, scales: Tensor | None = None) -> Tensor:
    if a.get("mode", b"nearest") != b"nearest":
        raise ValueError("its Upsample is not the nearest kind, which is not supported")
    old = {"coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}
    return resize({**a, **old}, x, None, scales)
