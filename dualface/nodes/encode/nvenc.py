"""encode/nvenc: H.264, HEVC or AV1 on the GPU's encoder, with the sound and the rest of the source."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from dualface.graph.errors import DeviceError
from dualface.graph.job import Job
from dualface.graph.node import Context, Needs
from dualface.graph.registry import node
from dualface.graph.types import NV12, Cuda, Frames, Memory, Source
from dualface.nodes.encode.elementary import Elementary
from dualface.nodes.encode.mux import check_output
from dualface.nodes.encode.segments import Segment
from dualface.nodes.encode.session import DELAY, Coded, Session
from dualface.nodes.encode.written import Written, WrittenConfig

SESSION_MB = 256  # of the driver's own memory for a 1080p session, not measured: no chip to measure on


@dataclass
class NvencConfig(WrittenConfig):
    """Hardware encoding by NVENC."""

    codec: Literal["h264", "hevc", "av1"] = "h264"  # what is written; av1 from the RTX 40 series on
    effort: int = 4  # NVENC's preset: 1 (P1) is fastest, 7 (P7) best
    tuning: Literal["high_quality", "low_latency", "ultra_low_latency"] = "low_latency"  # NVENC's tuning
    rate: Literal["cbr", "vbr", "quality", "constqp"] = "cbr"  # what is kept to: bits, or quality
    bitrate: int = 5_000_000  # bits a second, for cbr and (as the mean) vbr
    max_bitrate: int | None = None  # the most bits a second, for vbr
    quality: int = 23  # for quality and constqp: lower is better and larger, 1..51 (constqp of av1: 1..255)
    gop: int = 30  # frames from one key frame to the next

    def __post_init__(self) -> None:
        if not 1 <= self.effort <= 7:
            raise ValueError(f"effort is {self.effort}; it goes from 1 (fastest) to 7 (best)")
        most = 255 if (self.codec, self.rate) == ("av1", "constqp") else 51
        if not 1 <= self.quality <= most:
            raise ValueError(f"quality is {self.quality}; it goes from 1 (best) to {most}")
        if self.gop < 1:
            raise ValueError(f"gop is {self.gop}; it is at least 1")
        if self.bitrate < 1:
            raise ValueError(f"bitrate is {self.bitrate}; it is at least 1 bit a second")
        if self.max_bitrate is not None and self.rate != "vbr":
            raise ValueError(f"max_bitrate is for rate=vbr, not for rate={self.rate}")
        if self.max_bitrate is not None and self.max_bitrate < self.bitrate:
            raise ValueError(f"max_bitrate is {self.max_bitrate}, less than bitrate ({self.bitrate})")


@node("encode/nvenc", rank=10)
class Nvenc(Written[NvencConfig]):
    """Encodes NV12 as it lies in the GPU's memory and keeps every timestamp of the source.

    There are no B-frames, so pictures are decoded in the order in which they are shown. Level and
    profile are the encoder's choice, by size and rate; the report says which. Pictures that are shown
    turned are written as they are, with a note of the turn.
    """

    @staticmethod
    def needs(config: Any, memory: Memory) -> Needs:
        return Needs(
            engine="nvenc",
            features=("nvenc", "cuda"),
            packages=("PyNvVideoCodec",),
            resources={"encode_sessions": 1},
            vram_mb=SESSION_MB,
            frame_buffers=DELAY + 1,
            threads=0.3,
        )

    @staticmethod
    def lookahead(config: Any) -> int:
        """Frames are held until they have been read, which is so many later."""
        return DELAY

    @staticmethod
    def check(config: Any, job: Job) -> tuple[str, ...]:
        if config.codec == "av1" and job.output.suffix.lower() == ".mov":  # whatever libavformat says
            return (f"{job.output}: .mov cannot hold av1 pictures; .mp4 or .mkv can",)
        return check_output(job, config.audio == "copy")

    def open(self, context: Context) -> None:
        super().open(context)
        assert context.device is not None
        self.device = context.device
        self.session: Session | None = None
        self.stream: Elementary | None = None
        self.times: deque[int] = deque()  # when the frames in the encoder are shown

    def process(self, frames: Frames[NV12, Cuda], source: Source) -> None:
        if self.session is None:
            rows, width = frames.data.shape[1:]
            chosen = options(self.config, frames.video.frame_rate)
            self.session = self._blamed(lambda: Session(self.device, width, rows * 2 // 3, chosen))
            self.turned = frames.video.rotation
        segment = self.take(frames.video, source)
        self.times += frames.pts.tolist()
        self._write(segment, self.session.encode(frames.data))

    def flush(self, segment: Segment) -> None:
        assert self.session is not None
        self._write(segment, self.session.finish())
        self._end_session()

    def close(self) -> None:
        self._end_session()
        super().close()

    def _end_session(self) -> None:
        session, self.session = getattr(self, "session", None), None
        self.stream = None
        if session is not None:
            session.close()

    def _write(self, segment: Segment, coded: Iterable[Coded]) -> None:
        assert self.video is not None
        for one in self._blamed(lambda: list(coded)):
            if self.stream is None:
                self.stream = Elementary(segment.container, self.config.codec, one.data, self.video)
                self.context.report("codec", f"{self.config.codec} {self.stream.profile}".strip())
            segment.write(self.stream.packet(one.data, self.times.popleft(), one.key))

    def _blamed(self, call: Any) -> Any:
        """The answer of ``call``; the machine's faults say whose they are and what to do."""
        try:
            return call()
        except DeviceError as error:
            way = "node/encode@graph.nodes.encode=x264 encodes in software"
            raise DeviceError(f"{self.context.job.output}: {error}; {way}") from error


def options(config: NvencConfig, frame_rate: Fraction | None) -> dict[str, str]:
    """The options as PyNvVideoCodec takes them.

    >>> options(NvencConfig(), Fraction(30000, 1001))["fps"]
    '30000/1001'
    """
    given: dict[str, object] = {
        "codec": config.codec,
        "preset": f"P{config.effort}",
        "tuning_info": config.tuning,
        "gop": config.gop,
        "bf": 0,
        "fps": frame_rate or 30,
    }
    # With cq, PyNvVideoCodec leaves out both bit rates, whatever they are.
    given |= {
        "cbr": {"rc": "cbr", "bitrate": config.bitrate},
        "vbr": {"rc": "vbr", "bitrate": config.bitrate, "maxbitrate": config.max_bitrate},
        "quality": {"rc": "vbr", "cq": config.quality},
        "constqp": {"rc": "constqp", "constqp": config.quality},
    }[config.rate]
    if config.codec == "av1":
        given["use_ivf_container"] = 0  # OBUs alone
    return {key: str(value) for key, value in given.items() if value is not None}
