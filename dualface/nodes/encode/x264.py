"""encode/x264: H.264 in software, with the sound and the rest of the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import av
import numpy as np

from dualface.graph.node import Context, Needs
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cpu, Frames, Memory, Source, Video
from dualface.nodes.buffers import Pixels
from dualface.nodes.decode.color import MATRIX, PRIMARIES, RANGE, TRANSFER, number
from dualface.nodes.decode.pixels import upright
from dualface.nodes.encode.mux import USUAL_RATE
from dualface.nodes.encode.segments import Segment
from dualface.nodes.encode.written import Written, WrittenConfig

Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"
]
Tune = Literal["film", "animation", "grain", "stillimage", "fastdecode", "zerolatency"]


@dataclass
class X264Config(WrittenConfig):
    """Software H.264 by x264."""

    crf: float = 23.0  # quality: lower is better and larger, 0..51
    preset: Preset = "veryfast"  # x264's speed for size
    tune: Tune | None = None  # x264's tuning for a kind of picture
    profile: Literal["baseline", "main", "high"] | None = None  # H.264 profile; x264 chooses when null
    keyint: int | None = None  # most frames between key frames; x264 takes 250 when null

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise ValueError(f"crf is {self.crf:g}; it goes from 0 (lossless) to 51")
        if self.keyint is not None and self.keyint < 1:
            raise ValueError(f"keyint is {self.keyint}; it is at least 1")


@node("encode/x264", rank=50)
class X264(Written[X264Config]):
    """Encodes NV12 as it comes and keeps every timestamp of the source.

    The encoder counts in the source's time base, so times are not rounded; pictures that are
    shown turned are written upright.
    """

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(threads=2.0)

    def open(self, context: Context) -> None:
        super().open(context)
        self.encoder: Any = None

    def process(self, frames: Frames[NV12, Cpu], source: Source) -> None:
        segment = self.take(frames.video, source)
        if self.encoder is None:
            self.encoder = self._encoder(segment, frames)
        for picture, pts in zip(frames.data, frames.pts.tolist(), strict=True):
            frame = as_frame(upright(picture, frames.video.rotation))
            frame.pts, frame.time_base = pts, frames.video.time_base
            segment.write(self.encoder.encode(frame))

    def flush(self, segment: Segment) -> None:
        segment.write(self.encoder.encode(None))
        self.encoder = None

    def close(self) -> None:
        self.encoder = None
        super().close()

    def _encoder(self, segment: Segment, frames: Frames[NV12, Cpu]) -> Any:
        video = frames.video
        rows, width = frames.data.shape[1:]
        height = rows * 2 // 3
        if video.rotation in (90, 270):
            width, height = height, width
        stream = segment.container.add_stream(
            "libx264",
            rate=video.frame_rate or USUAL_RATE,
            options=options(self.config),
            width=width,
            height=height,
            time_base=video.time_base,
            pix_fmt="nv12",
        )
        tag(stream.codec_context, video)
        # A thread a core, each on a frame of its own (PyAV's default would be slices, which cost quality
        # and speed). x264's own default is half as many again, which costs 23 MiB for 1080p and, beside
        # the other stages, gained nothing.
        stream.codec_context.thread_count = max(1, self.context.threads)
        stream.codec_context.thread_type = "FRAME"
        return stream


def options(config: X264Config) -> dict[str, str]:
    """The options as libavcodec's libx264 takes them."""
    given = {
        "preset": config.preset,
        "crf": f"{config.crf:g}",
        "tune": config.tune,
        "profile": config.profile,
        "g": config.keyint,
    }
    return {key: str(value) for key, value in given.items() if value is not None}


def tag(codec: Any, video: Video) -> None:
    """Write the source's colour and pixel aspect into the stream."""
    codec.color_range = number(RANGE, video.color.range, 0)
    codec.colorspace = number(MATRIX, video.color.matrix)
    codec.color_trc = number(TRANSFER, video.color.transfer)
    codec.color_primaries = number(PRIMARIES, video.color.primaries)
    codec.sample_aspect_ratio = video.display_aspect


def as_frame(picture: Pixels) -> Any:
    """An NV12 picture ``[H*3/2, W]`` as PyAV's frame, without copying where PyAV can.

    PyAV takes the height of an array as a multiple of 4; other heights are copied.
    """
    rows, width = picture.shape
    height = rows * 2 // 3
    if height % 4 == 0 and picture.strides[1] == 1:
        return av.VideoFrame.from_numpy_buffer(picture, "nv12")
    frame = av.VideoFrame(width, height, "nv12")
    for plane, part in zip(frame.planes, (picture[:height], picture[height:]), strict=True):
        lines = np.frombuffer(memoryview(plane), np.uint8)[: plane.line_size * part.shape[0]]
        lines.reshape(part.shape[0], plane.line_size)[:, :width] = part
    return frame
