"""Files and names that would lead elsewhere: playlists, scripts, references, protocols, pipes, devices."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fuzz_cases import Case, element, matroska, track

SUFFIXES = (".mp4", ".m3u8", ".ffconcat", ".sdp", ".mpd", ".asx", ".png", ".mkv", ".ts", "")


def written(canary: Path, port: int) -> Iterator[Case]:
    """Texts and references that name ``canary`` and a socket at ``port``."""
    texts = texts_of(str(canary), f"http://127.0.0.1:{port}", port)
    for what, text in texts.items():
        for suffix in SUFFIXES:
            yield Case("pretender", f"{what} as x{suffix}", partial(bytes, text.encode()), f"x{suffix}")
    # A playlist's words within what begins as a film.
    for what in ("m3u8 of a file", "ffconcat"):
        box = struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2"
        yield Case("pretender", f"{what} behind ftyp", partial(bytes, box + texts[what].encode()))
        yield Case(
            "pretender",
            f"{what} behind a byte order mark",
            partial(bytes, b"\xef\xbb\xbf" + texts[what].encode()),
        )
        yield Case(
            "pretender", f"{what} behind ID3", partial(bytes, b"ID3\4\0\0\0\0\0\0" + texts[what].encode())
        )


def m3u8(entry: str, *heads: str) -> str:
    """A playlist of one entry."""
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", *heads, "#EXTINF:1,", entry, "#EXT-X-ENDLIST", ""]
    return "\n".join(lines)


def texts_of(canary: str, host: str, port: int) -> dict[str, str]:
    """What players take for a list of others, by its name."""
    return {
        "m3u8 of a file": m3u8(f"file://{canary}"),
        "m3u8 of a path": m3u8(canary, "#EXT-X-VERSION:3"),
        "m3u8 of a host": m3u8(f"{host}/a.ts"),
        "m3u8 with a key": m3u8(canary, f'#EXT-X-KEY:METHOD=AES-128,URI="{canary}"'),
        "m3u8 with concat": m3u8(f"concat:{host}/h|subfile,,start,0,end,99,,:{canary}"),
        "m3u8 with a map": m3u8(canary, f'#EXT-X-MAP:URI="{canary}"'),
        "master m3u8": f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{host}/v.m3u8\n",
        "m3u": f"#EXTM3U\n#EXTINF:1,x\n{canary}\n",
        "ffconcat": f"ffconcat version 1.0\nfile '{canary}'\n",
        "ffconcat of a host": f"ffconcat version 1.0\nfile '{host}/a.ts'\n",
        "ffconcat with options": f"ffconcat version 1.0\nfile '{canary}'\noption safe 0\nstream\n",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "mpd": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
        f'mediaPresentationDuration="PT1S"><BaseURL>{canary}</BaseURL><Period>'
        '<AdaptationSet mimeType="video/mp4">'
        f'<Representation id="1" bandwidth="1"><BaseURL>{host}/a.mp4</BaseURL></Representation>'
        "</AdaptationSet></Period></MPD>",
        "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/2067-3/2016">'
        f"<Id>urn:uuid:0</Id><Path>{canary}</Path></CompositionPlaylist>",
        "asx": f'<asx version="3.0"><entry><ref href="{host}/a.wmv"/></entry></asx>',
        "asf reference": f"[Reference]\r\nRef1={host}/a.asf?MSWMExt=.asf\r\n",
        "rtsp text": f"RTSPtext rtsp://127.0.0.1:{port}/a\n",
        "smil": f'<smil><body><video src="{host}/a.mp4"/></body></smil>',
        "avisynth": f'FFVideoSource("{canary}")\n',
        "vapoursynth": f"open({canary!r}).read()\n",
        "filter graph": f"movie={canary}",
        "ffmetadata": f";FFMETADATA1\ntitle={canary}\n",
        "xspf": '<?xml version="1.0"?><playlist><trackList><track>'
        f"<location>file://{canary}</location></track></trackList></playlist>",
        "pls": f"[playlist]\nFile1={host}/a.mp4\nNumberOfEntries=1\n",
        "svg": '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<image xlink:href="{host}/x.png"/></svg>',
        "list of names": f"{canary}\n",
    }


def referring(film: bytes, canary: Path, port: int) -> Iterator[Case]:
    """A MOV whose samples are elsewhere, by each way of saying so; Matroska that goes on elsewhere."""
    places = {
        b"url ": f"file://{canary}".encode() + b"\0",
        b"urn ": b"x\0" + f"http://127.0.0.1:{port}/a.mov".encode() + b"\0",
        b"alis": alias(canary),
    }
    places[b"url\0"] = f"http://127.0.0.1:{port}/a.mov".encode() + b"\0"
    for name, body in places.items():
        for flags in (0, 1):
            entry = struct.pack(">I4sI", len(body) + 12, name, flags) + body
            dref = struct.pack(">I4sII", len(entry) + 16, b"dref", 0, 1) + entry
            yield Case(
                "reference", f"MOV with dref {name!r} and flags {flags}", partial(with_dref, film, dref)
            )
    redirect = f"http://127.0.0.1:{port}/a.mov".encode() + b"\0"
    rdrf = struct.pack(">I4sI4sI", len(redirect) + 20, b"rdrf", 0, b"url ", len(redirect)) + redirect
    rmda = struct.pack(">I4s", len(rdrf) + 8, b"rmda") + rdrf
    rmra = struct.pack(">I4s", len(rmda) + 8, b"rmra") + rmda
    yield Case(
        "reference",
        "MOV that is a reference movie",
        partial(bytes, struct.pack(">I4s", len(rmra) + 8, b"moov") + rmra),
    )
    name = str(canary).encode()
    linked = element(
        0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40") + element(0x3C83AB, name) + element(0x3E83BB, name)
    )
    attached = element(
        0x1941A469,
        element(0x61A7, element(0x466E, name) + element(0x4660, b"text/plain") + element(0x465C, b"x")),
    )
    yield Case("reference", "Matroska linked to another", partial(matroska, track(1), linked))
    yield Case(
        "reference", "Matroska with an attachment named like a path", partial(matroska, track(1), attached)
    )


def with_dref(film: bytes, dref: bytes) -> bytes:
    """A MOV, its index at the end, with ``dref`` in place of its first, and all sizes around put right."""
    data = bytearray(film)
    at = data.index(b"dref") - 4
    (size,) = struct.unpack(">I", data[at : at + 4])
    grown = len(dref) - size
    for name in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        outer = data.rindex(name, 0, at) - 4
        (old,) = struct.unpack(">I", data[outer : outer + 4])
        data[outer : outer + 4] = struct.pack(">I", old + grown)
    data[at : at + size] = dref
    return bytes(data)


def alias(target: Path) -> bytes:
    """A Macintosh alias record that names ``target`` absolutely."""
    path = str(target).encode()
    head = bytes(4) + struct.pack(">HH", 150, 2) + bytes(2) + bytes([4]) + b"disk".ljust(27, b"\0") + bytes(6)
    name = bytes([len(target.name)]) + target.name.encode().ljust(63, b"\0")
    rest = bytes(16) + struct.pack(">hh", 1, 1) + bytes(16)
    return (
        head
        + bytes(4)
        + name
        + rest
        + struct.pack(">hH", 18, len(path))
        + path
        + bytes(len(path) % 2)
        + struct.pack(">hH", -1, 0)
    )


def names(canary: Path, port: int) -> Iterator[Case]:
    """Names that FFmpeg reads as something else than a path."""
    host = f"127.0.0.1:{port}"
    known = [
        "file:",
        "concat:",
        "subfile,,start,0,end,9,,:",
        "async:",
        "cache:",
        "crypto:",
        "data:video/mp4;base64,AAAA",
        "fd:",
        "pipe:0",
        "pipe:",
        "concatf:",
        "ffrtmphttp:",
        "hls+file:",
        "hls:",
        "md5:",
        "tee:",
        "unix:",
        "prompeg:",
        "mmst:",
        "icecast:",
        "file://",
        "file,,:",
        "concat:concat:",
        "ipfs:",
        "android_content:",
        "libssh:",
        "bluray:",
        "gopher:",
        "FILE:",
        "Concat:",
        "subfile:",
        "mmap:",
        "lavfi:movie=",
        "movie=",
        "x11grab:",
        "v4l2:",
        "glob:",
    ]
    for name in known:
        yield Case("name", name, None, f"{name}{canary}")
    for scheme in (
        "http",
        "https",
        "tcp",
        "udp",
        "rtp",
        "rtsp",
        "rtmp",
        "srtp",
        "tls",
        "ftp",
        "sftp",
        "gopher",
        "mmsh",
        "srt",
        "hls+http",
        "httpproxy",
        "rist",
        "ws",
        "HTTP",
    ):
        yield Case("name", scheme, None, f"{scheme}://{host}/a.mp4")
    for name in (
        f"concat:http://{host}/a|{canary}",
        "http:a",
        "%d.mp4",
        "-i",
        "a\nb.mp4",
        "~",
        "$HOME",
        "a" * 5000,
        "",
        " ",
        "\udcff.mp4",
        "/",
        "//",
        ".",
    ):
        yield Case("name", f"{name[:20]!r}", None, name)


def not_files(folder: Path, film: Path) -> Iterator[Case]:
    """What can be opened and is no file, made in ``folder``; links to ``film``, which are fine."""
    os.mkfifo(folder / "fifo.mp4")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "socket.mp4"))
    (folder / "folder.mp4").mkdir()
    (folder / "empty.mp4").touch()
    (folder / "sparse.mp4").touch()
    os.truncate(folder / "sparse.mp4", 1 << 40)
    links = {
        "to_fifo.mp4": folder / "fifo.mp4",
        "to_zero.mp4": "/dev/zero",
        "dangling.mp4": "nowhere",
        "loop.mp4": "loop.mp4",
        "to_folder.mp4": folder,
        "to_film.mp4": film,
        "to_link.mp4": folder / "to_film.mp4",
        "to_proc.mp4": "/proc/self/mem",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    inside = ["fifo.mp4", "socket.mp4", "folder.mp4", "empty.mp4", "sparse.mp4", *links]
    system = [
        f"/dev/{name}"
        for name in (
            "zero",
            "null",
            "full",
            "random",
            "urandom",
            "tty",
            "ptmx",
            "stdin",
            "stdout",
            "fd/0",
            "kmsg",
            "mem",
            "vda",
        )
    ]
    system += [
        f"/proc/{name}"
        for name in (
            "kmsg",
            "kcore",
            "self/mem",
            "self/environ",
            "self/pagemap",
            "self/fd/0",
            "self/exe",
            "sysrq-trigger",
            "self",
            "cpuinfo",
        )
    ]
    system += ["/sys/kernel/uevent_seqnum", "/sys/kernel/debug/tracing/trace_pipe"]
    for name in inside:
        yield Case("no file", name, None, str(folder / name))
    for name in system:
        yield Case("no file", name, None, name)
