"""Opening what the user named, and a sentence for each way in which that can fail."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import stat
from collections.abc import Iterator, Sequence
from errno import EIO, ENOMEM
from pathlib import Path
from typing import Any

import av

from dualface.graph.errors import InputError
from dualface.graph.job import USUAL_LIMITS, Limits
from dualface.nodes.decode.files import not_a_file
from dualface.nodes.decode.limits import check_streams, for_decoding, for_opening, way

# What people's videos come in, and sound files (so that they can be told apart). Playlists,
# concat scripts, SDP and number patterns are left out on purpose: they open other files and hosts;
# so are text and picture readers, which see a film in any README, and MLV, which opens what lies beside it.
CONTAINERS = (
    "mov,mp4,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,asf,flv,live_flv,kux,ogg,nut,mxf,gxf,wtv,rm,dv,ivf,"
    "obu,av1,h264,hevc,vvc,vc1,h263,mjpeg,mpjpeg,gif,apng,yuv4mpegpipe,dhav,nsv,nuv,pva,ty,swf,r3d,lxf,"
    "wav,w64,mp3,aac,flac,ac3,eac3,dts,truehd,amr,caf,aiff,ape,tta,wv,au,loas"
)
# What FFmpeg opens for each protocol that a user may allow. Those that join, cut or nest others stay closed.
PROTOCOLS = {"file": "file", "http": "http,tcp", "https": "https,tls,tcp"}
PATIENCE = 15  # seconds without an answer after which a host is given up
_URL = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def scheme(name: str) -> str | None:
    """The protocol of a URL; ``None`` for the path of a file, however odd its name.

    >>> scheme("https://example.org/a.mp4"), scheme("a: b.mp4")
    ('https', None)
    """
    if os.path.lexists(name):
        return None
    found = _URL.match(name)
    if found is None:
        return None
    word = found[1].lower()
    return word if "//" in name[len(word) :][:3] or word in ("concat", "data", "pipe", "fd") else None


def ffmpeg_name(path: str | Path) -> str:
    """A file's name as FFmpeg must be told it: with ``file:`` before it, no part of the name is
    read as an option, a protocol or a pattern."""
    return f"file:{os.fspath(path)}"


@contextlib.contextmanager
def opened(name: str, protocols: Sequence[str] = ("file",), limits: Limits = USUAL_LIMITS) -> Iterator[Any]:
    """The input as a PyAV container, closed at the end of the block."""
    container = open_input(name, protocols, limits)
    try:
        yield container
    finally:
        container.close()


def open_input(name: str, protocols: Sequence[str] = ("file",), limits: Limits = USUAL_LIMITS) -> Any:
    """Open a file or, where ``protocols`` allow it, a URL. Raises `InputError`, also where what it
    holds is beyond ``limits``."""
    protocol = scheme(name)
    if protocol is None:
        _check_file(name)
        if "file" not in protocols:
            allowed = ", ".join(protocols)
            raise InputError(f"{name}: files may not be opened here; allowed protocols: {allowed}")
        target = ffmpeg_name(name)
    elif protocol == "file":
        raise InputError(f"{name}: files are named by their path, without file:")
    elif protocol in protocols and protocol in PROTOCOLS:
        target = name
    else:
        other = f", or say protocols=[file,{protocol}]" if protocol in PROTOCOLS else ""
        raise InputError(
            f"{name}: opening {protocol}: addresses is not allowed (only {', '.join(protocols)}); "
            f"download it first{other}"
        )
    options = {"format_whitelist": CONTAINERS, **for_opening(limits), **_reach(protocol, protocols)}
    try:
        container = av.open(
            target,
            options=for_decoding(limits),
            container_options=options,
            metadata_errors="replace",
            timeout=limits.seconds,
        )
    except av.error.ExitError as error:
        raise InputError(
            f"{name}: opening it takes more than {limits.seconds:g} s, {way('seconds')}"
        ) from error
    except av.error.FFmpegError as error:
        raise InputError(_sentence(name, protocol, error)) from error
    try:
        check_streams(name, container, limits)
    except InputError:
        container.close()
        raise
    return container


def packets(container: Any, streams: Any) -> Iterator[Any]:
    """The packets of ``streams`` of ``container`` in the file's order, at last an empty one of each.
    Raises FFmpegError where the file is damaged, `InputError` where one takes too long."""
    try:
        yield from container.demux(streams)
    except av.error.ExitError as error:
        name, most = container.name.removeprefix("file:"), container.read_timeout
        raise InputError(f"{name}: reading on takes more than {most:g} s, {way('seconds')}") from error
    except IndexError:
        # PyAV stumbles, behind all that it was asked for, over streams that came up while it read.
        return


def _reach(protocol: str | None, protocols: Sequence[str]) -> dict[str, str]:
    """FFmpeg's options for what opening an input may lead to: a file to no host, and a host to
    no file, but from http to https and back where both are allowed."""
    if protocol is None:
        return {"protocol_whitelist": PROTOCOLS["file"]}
    hosts = [PROTOCOLS[one] for one in protocols if one in PROTOCOLS and one != "file"]
    options = {"protocol_whitelist": ",".join(hosts), "rw_timeout": str(PATIENCE * 1_000_000)}
    # A connection lost on the way is made again; one that never was is told at once.
    options |= {"reconnect": "1", "reconnect_delay_max": str(PATIENCE)}
    known = ssl.get_default_verify_paths().cafile  # FFmpeg's own, else: where it was built
    return {**options, "tls_verify": "1", **({"ca_file": known} if known else {})}


def _check_file(name: str) -> None:
    try:
        mode = os.stat(name)
    except FileNotFoundError:
        dangling = os.path.islink(name)
        what = "is a link to a file that does not exist" if dangling else "there is no such file"
        raise InputError(f"{name}: {what}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name!r}: cannot be opened ({reason})") from None
    if stat.S_ISDIR(mode.st_mode):
        inside = f"{name.rstrip('/')}/*.mp4"
        raise InputError(f"{name}: is a folder; name the videos in it, for instance with {inside}")
    if what := not_a_file(name):
        raise InputError(f"{name}: is {what}, not a file; save it to a file first")
    if mode.st_size == 0:
        raise InputError(f"{name}: is empty (0 bytes)")
    try:
        with open(name, "rb"):
            pass
    except PermissionError:
        raise InputError(f"{name}: may not be read by this user; check its permissions") from None
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from None


def _sentence(name: str, protocol: str | None, error: av.error.FFmpegError) -> str:
    if protocol is not None:
        if isinstance(error, av.error.InvalidDataError):
            return f"{name}: is not a video, or its host does not let it be read from the middle"
        why = "the host was not found, hung up, or is not who it says it is" if error.errno == EIO else ""
        return f"{name}: cannot be opened ({why or error.strerror})"
    if error.errno == ENOMEM:
        return f"{name}: its headers ask for more memory or more streams than there may be"
    with open(name, "rb") as file:
        head = file.read(16)
    if head.lstrip(b"\xef\xbb\xbf").startswith((b"#EXTM3U", b"ffconcat", b"v=0", b"<?xml")):
        return f"{name}: is a playlist or a description, not a video; name the video files themselves"
    if head[4:8] in (b"ftyp", b"mdat", b"moov", b"wide", b"free", b"skip"):
        return f"{name}: is cut off or damaged: its index (the moov atom) cannot be read; copy it again"
    return f"{name}: is not a video, or its beginning is damaged"
