"""Whole media to be damaged: every container and every video codec that this FFmpeg can write."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

FRAMES = 12
SIZE = (320, 180)
RATE = 30
# What writes elsewhere than into the file it is given, to devices and hosts, or nothing that is media.
NOT_A_FILE = set(
    [
        "alsa",
        "dash",
        "fbdev",
        "fifo",
        "hds",
        "hls",
        "image2",
        "null",
        "oss",
        "pulse",
        "rtp",
        "rtp_mpegts",
        "rtsp",
        "sap",
        "sdl,sdl2",
        "segment",
        "smoothstreaming",
        "stream_segment,ssegment",
        "tee",
        "video4linux2,v4l2",
        "webm_chunk",
        "webm_dash_manifest",
        "whip",
        "xv",
        "opengl",
        "caca",
        "mkvtimestamp_v2",
    ]
)
HOMES = (
    "matroska",
    "mov",
    "avi",
    "nut",
    "mpegts",
    "asf",
    "flv",
    "ogg",
    "mxf",
    "ivf",
    "mp4",
    "rm",
    "swf",
    "gxf",
)
# Pairs beside a container's own two.
MORE = {
    "asf": [("wmv2", "wmav2")],
    "asf_stream": [("wmv1", "wmav1")],
    "swf": [("flv", "mp3")],
    "dv": [("dvvideo", "")],
    "3gp": [("mpeg4", "aac")],
    "3g2": [("libx264", "aac")],
    "gxf": [("mpeg2video", "")],
    "mjpeg": [("mjpeg", "")],
    "mpjpeg": [("mjpeg", "")],
    "ogg": [("libvpx", "libopus"), ("dirac", "flac")],
}
# Sizes and rates that some codecs insist on.
PARTICULAR = {
    **dict.fromkeys(("dvvideo", "dv", "gxf", "mxf_d10"), ((720, 576), 25)),
    **dict.fromkeys(("h261", "h263", "rv10", "rm"), ((352, 288), 30)),
    **dict.fromkeys(("roqvideo", "roq"), ((256, 128), 30)),
    "dnxhd": ((1920, 1080), 25),
    "xface": ((48, 48), 25),
}
OPTIONS = {
    "libx264": {"preset": "ultrafast", "g": "6"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"},
    "libsvtav1": {"preset": "12"},
    "dnxhd": {"b": "120M"},
    "libvpx": {"deadline": "realtime"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"},
}


LARGE = (
    ("qtrle", "mov", 8192, 8192),
    ("qtrle", "mov", 16384, 4112),
    ("qtrle", "mov", 16400, 64),
    ("ffv1", "matroska", 8192, 8192),
    ("ffv1", "matroska", 64, 16400),
    ("libx264", "matroska", 8192, 8192),
    ("gif", "gif", 16384, 4112),
)


def pictures(footage: Path | None) -> list[Any]:
    """`FRAMES` pictures as RGB arrays: of ``footage``'s first video, or made up."""
    if footage is None:
        ramp = np.linspace(0, 255, SIZE[0] * SIZE[1] * 3).reshape(SIZE[1], SIZE[0], 3)
        return [np.roll(ramp, 9 * i, axis=1).astype(np.uint8) for i in range(FRAMES)]
    made = []
    with av.open(str(footage)) as film:
        for frame in film.decode(video=0):
            made.append(frame.reformat(*SIZE, "rgb24").to_ndarray())
            if len(made) == FRAMES:
                break
    return made


def encoders() -> list[str]:
    """The software encoders of video."""
    found = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "w")
        except ValueError:
            continue
        hard = name.rpartition("_")[2] in (
            "nvenc",
            "qsv",
            "amf",
            "v4l2m2m",
            "vaapi",
            "videotoolbox",
            "mf",
            "vulkan",
        )
        if codec.type == "video" and not hard and name not in ("vnull", "wrapped_avframe"):
            found.append(name)
    return found


def muxers() -> list[str]:
    """The containers, by FFmpeg's names."""
    found = []
    for name in sorted(av.formats_available):
        try:
            av.ContainerFormat(name, "w")
        except ValueError:
            continue
        if name not in NOT_A_FILE and not name.endswith(("md5", "hash", "crc")):
            found.append(name)
    return found


def write(
    path: Path,
    container: str,
    codec: str,
    images: Sequence[Any],
    *,
    sound: str = "",
    size: tuple[int, int] = (0, 0),
) -> None:
    """A short film. Raises whatever FFmpeg says against the pair."""
    usual, rate = PARTICULAR.get(codec, PARTICULAR.get(container, (SIZE, RATE)))
    width, height = size if size[0] else usual
    with av.open(f"file:{path}", "w", format=container) as out:
        video: Any = out.add_stream(codec, rate=rate, options=OPTIONS.get(codec, {}))
        wanted = video.codec_context.codec.video_formats
        form = wanted[0].name if wanted and "yuv420p" not in {one.name for one in wanted} else "yuv420p"
        video.width, video.height, video.pix_fmt = width, height, form
        video.time_base = Fraction(1, rate)
        tone: Any = out.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(width, height, form)
            frame.pts, frame.time_base = i, Fraction(1, rate)
            out.mux(video.encode(frame))
        if tone is not None:
            for packet in _tone(tone):
                out.mux(packet)
        out.mux(video.encode(None))


def large(folder: Path) -> list[Path]:
    """Films of few bytes whose pictures are as large as is allowed, and larger."""
    images = [np.full((SIZE[1], SIZE[0], 3), 60 * i, np.uint8) for i in range(2)]
    made = []
    for codec, container, width, height in LARGE:
        path = folder / f"large-{codec}-{width}x{height}.bin"
        if _apart(path, container, codec, images, size=(width, height)):
            made.append(path)
    return made


def _tone(track: Any) -> Iterator[Any]:
    resampler = av.AudioResampler(track.codec_context.format, "stereo", 48_000)
    wave = (0.3 * np.sin(np.arange(19_200) / 17)).astype(np.float32)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
    frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), 0
    for part in [*resampler.resample(frame), None]:
        yield from track.encode(part)


def _apart(path: Path, *arguments: Any, **options: Any) -> bool:
    """`write` in a process of its own, for an encoder may crash or hang too; whether there is a film."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            import signal

            signal.alarm(20)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            write(path, *arguments, **options)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status and path.exists():
        path.unlink()
    return path.exists() and path.stat().st_size > 0


def seeds(folder: Path, footage: Path | None) -> list[Path]:
    """Short films in ``folder``, named after container and codec."""
    images = pictures(footage)
    made: list[Path] = []
    for container in muxers():
        for codec, sound in _usual(container):
            path = folder / f"{container.replace(',', '+')}-{codec}{'-' + sound if sound else ''}.bin"
            if _apart(path, container, codec, images, sound=sound):
                made.append(path)
    known = {path.stem.split("-", 1)[1] for path in made}
    for codec in encoders():
        if codec in known:
            continue
        for container in HOMES:
            path = folder / f"{container}-{codec}.bin"
            if _apart(path, container, codec, images):
                made.append(path)
                break
    return made + by_command(folder, made)


def _usual(container: str) -> list[tuple[str, str]]:
    """The codecs, of pictures and of sound, that a container is tried with."""
    form = av.ContainerFormat(container, "w")
    video, audio = _defaults(form)
    tries = [(video, audio)] if video and audio else [(video, "")] if video else []
    if container in ("mp4", "mov", "matroska", "mpegts", "avi", "nut"):
        tries += [("libx264", "aac"), ("libx265", ""), ("mpeg2video", "mp2")]
    tries += MORE.get(container, [])
    return list(dict.fromkeys(tries))


def _defaults(form: Any) -> tuple[str, str]:
    import io

    try:
        with av.open(io.BytesIO(), "w", format=form.name) as out:
            return tuple(
                "" if name == "none" else name for name in (out.default_video_codec, out.default_audio_codec)
            )  # type: ignore[return-value]
    except Exception:
        return "mpeg4", ""


def by_command(folder: Path, made: Sequence[Path]) -> list[Path]:
    """The same through the ffmpeg command, where there is one: fragments, edit lists, streams of data,
    interlaced and rotated pictures, which PyAV does not write by itself."""
    command, source = (
        shutil.which("ffmpeg"),
        next((p for p in made if p.name.startswith("matroska-libx264")), None),
    )
    if command is None or source is None:
        return []
    ways = {
        "fragments.mp4": "-c copy -movflags frag_keyframe+empty_moov+default_base_moof",
        "cmaf.mp4": "-c copy -movflags cmaf+frag_every_frame",
        "edit.mp4": "-c:v libx264 -bf 2 -c:a aac -ss 0.1",
        "timecode.mov": "-c copy -timecode 01:00:00:00",
        "turned.mov": "-c copy -metadata:s:v rotate=90",
        "interlaced.ts": "-c:v mpeg2video -flags +ilme+ildct -c:a mp2",
        "ten_bits.mkv": "-c:v libx265 -pix_fmt yuv420p10le -x265-params log-level=none -c:a flac",
        "programs.ts": "-c copy -program title=one:st=0 -program title=two:st=1",
        "attached.mkv": f"-c copy -attach {source} -metadata:s:t mimetype=application/octet-stream",
        "live.webm": "-c:v libvpx -live 1 -c:a libopus",
        "index_first.mp4": "-c copy -movflags faststart",
        "vob.vob": "-c:v mpeg2video -c:a mp2 -f vob",
        "prores.mov": "-c:v prores -c:a pcm_s16le",
        "bluray.m2ts": "-c copy -mpegts_m2ts_mode 1 -f mpegts",
    }  # fmt: skip
    films = []
    for name, words in ways.items():
        target = folder / f"command-{name}.bin"
        form = (
            []
            if " -f " in f" {words} "
            else ["-f", {"ts": "mpegts", "mkv": "matroska"}.get(name.split(".")[1], name.split(".")[1])]
        )
        call = [command, "-v", "quiet", "-y", "-i", str(source), *words.split(), *form, str(target)]
        if subprocess.run(call, stdin=subprocess.DEVNULL, timeout=60).returncode == 0:
            films.append(target)
    return films
