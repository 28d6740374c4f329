"""Does the network for faces tell people apart? By size of the face, and by how far the head is tilted.

    python experiments/recognition.py [FOLDER] [every=N]

FOLDER holds films and, in ``photos/``, portraits (default: ``../shared/media``); of each film every
N-th frame is looked at (20). Faces come from the detector and the tracker. Two faces of one track are
the same person, two faces in one frame are not, nor are two in different films or photos (films that
share people would spoil this: of those at hand only the photos share some with a film, and these
pairs are left out; a portrait shows one person). Each face is cut out with what is around it, made
smaller so that its box has the height asked for (never enlarged), turned upright and then to the tilt
asked for, every other face to the left; found again by YuNet, and recognised.

Prints the AUC of same against different by Euclidean distance (1: every pair of one person is nearer
than every pair of two), the median distances, and the errors at 0.5: how many of the same are
refused, of the different confused. A face that is not found again is missing from the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from dualface import zoo
from dualface.graph.job import Job
from dualface.graph.node import Context
from dualface.graph.types import Color, Video, spans
from dualface.infer.onnxruntime import OnnxSession
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.heads import Found, decode
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.small import bgr_rows
from dualface.nodes.detect.yunet import Yunet
from dualface.nodes.reid.embed import Embedder
from dualface.nodes.track.bytetrack import Bytetrack, BytetrackConfig

HEIGHTS, TILTS = (120, 80, 48, 32, 24, 16), (0, 15, 30, 45)
AROUND = 3.2  # sides of what is cut out, in heights of the box
SEEN = 40  # a detector sees faces of this height at most: it looks at a small copy
LIMIT = 0.5
MOST = 12  # faces of one track, spread over it


class Face(NamedTuple):
    """A face as it was found: what is around it (BGR), its box's height there, whose it is, and by how
    many degrees it is rolled clockwise."""

    bgr: Any
    height: float
    film: str
    track: int
    frame: int
    roll: float = 0.0


def films(clip: Path, every: int) -> Iterator[Face]:
    """Every n-th frame's faces of a film, with what is around them."""
    job = probe(clip, output=clip.with_suffix(".none"), name=clip.stem)
    nodes = PyavDecode(PyavConfig()), Yunet(YunetConfig(score=0.7)), Bytetrack(BytetrackConfig())
    for node in nodes:
        node.open(Context(job, "", 8, 1, lambda e: None, lambda: False, lambda p: p,
                          lambda n, v: None, lambda n, v: None))  # fmt: skip
    decoder, look, link = nodes
    while (batch := decoder.process()) is not None:
        frames = batch.frames
        faces, cuts = look.process(frames)
        tracks = link.process(faces, cuts)
        for i, span in enumerate(spans(tracks.counts)):
            frame = frames.first + i
            if frame % every:
                continue
            bgr = to_bgr(frames.data[i], job)
            for box, score, track in zip(
                tracks.boxes[span], tracks.scores[span], tracks.ids[span], strict=True
            ):
                if score >= 0.7:
                    yield around(bgr, box, clip.name, int(track), frame)


def to_bgr(picture: Any, job: Job) -> Any:
    """A whole picture ``[H, W, 3]``."""
    video = job.video
    height = picture.shape[0] * 2 // 3
    uv = cv2.resize(picture[height:].reshape(height // 2, -1, 2), (picture.shape[1], height))
    rows = bgr_rows(video.color, video.height)
    mixed = (
        np.dstack([picture[:height], uv]).astype(np.float32) @ rows[:, :3].T.astype(np.float32) + rows[:, 3]
    )
    return np.clip(mixed, 0, 255).astype(np.uint8)


def around(bgr: Any, box: Any, film: str, track: int, frame: int) -> Face:
    """The square around a box; beyond the picture's edge its last pixels are repeated."""
    x0, y0, x1, y1 = (float(v) for v in box)
    side = int(AROUND * (y1 - y0))
    way = np.array([[1, 0, (x0 + x1 - side) / 2], [0, 1, (y0 + y1 - side) / 2]])
    cut = cv2.warpAffine(
        bgr, way, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return Face(cut, y1 - y0, film, track, frame)


def find(session: OnnxSession, bgr: Any) -> Found:
    """Faces in a picture that is shown as it is, padded."""
    height, width = (-(-side // 32) * 32 for side in bgr.shape[:2])
    padded = np.zeros((height, width, 3), np.float32)
    padded[: bgr.shape[0], : bgr.shape[1]] = bgr
    return decode(session.run({"input": padded.transpose(2, 0, 1)[None]}), width, 0.6, 0.3, 16)[0]


def photos(folder: Path, session: OnnxSession) -> Iterator[Face]:
    """The faces of portraits; each is somebody of their own."""
    for path in sorted(folder.glob("*")):
        bgr = cv2.imread(str(path))
        if bgr is None:
            continue
        small = bgr if max(bgr.shape) <= 640 else cv2.resize(bgr, None, fx=(f := 640 / max(bgr.shape)), fy=f)
        found = find(session, small)
        scale = bgr.shape[1] / small.shape[1]
        for track, box in enumerate(found.boxes):
            yield around(bgr, box * scale, path.name, track, 0)


def shown(face: Face, height: float, degrees: float) -> tuple[Any, Any]:
    """The face with a box of ``height``, turned: as BGR, and in NV12."""
    size = int(height * AROUND) // 2 * 2
    side = face.bgr.shape[0]
    # Made smaller first, turned then: what turns must not alias.
    small = cv2.resize(face.bgr, (size, size), interpolation=cv2.INTER_AREA) if size < side else face.bgr
    side = small.shape[0]
    way = cv2.getRotationMatrix2D((side / 2, side / 2), degrees, size / side)
    way[:, 2] += (size - side) / 2
    bgr = cv2.warpAffine(small, way, (size, size), borderMode=cv2.BORDER_REPLICATE)
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    chroma = planes[size:].reshape(2, size // 2, size // 2).transpose(1, 2, 0).reshape(size // 2, size)
    return bgr, np.vstack([planes[:size], chroma])


def again(face: Face, height: float, degrees: float, session: OnnxSession) -> tuple[Any, Video, Any] | None:
    """The picture that `shown` makes, and the landmarks ``[1, 5, 2]`` that YuNet finds in it, if it does."""
    bgr, picture = shown(face, height, degrees)
    small = min(1.0, SEEN / height)
    seen = cv2.resize(bgr, None, fx=small, fy=small, interpolation=cv2.INTER_AREA) if small < 1 else bgr
    found = find(session, seen)
    middle = np.array(seen.shape[1::-1]) / 2
    off = np.abs((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).max(1)
    if not len(off) or off.min() > 0.5 * height * small:
        return None
    video = Video(bgr.shape[1], bgr.shape[0], Fraction(1, 25), color=Color(matrix="smpte170m"))
    return picture, video, found.landmarks[off.argmin()][None] / small


def recognise(
    face: Face, height: float, degrees: float, session: OnnxSession, embedders: list[Embedder]
) -> list[Any] | None:
    """The numbers that each embedder gives for the face, or None where it is not found again."""
    found = again(face, height, degrees, session)
    return None if found is None else [embedder.embed(*found)[0] for embedder in embedders]


def measured(face: Face, session: OnnxSession, refined: Embedder) -> Face | None:
    """The face with its roll, from the line between the eyes; None where it is not found again."""
    found = again(face, min(face.height, 120), 0, session)
    if found is None:
        return None
    right, left = refined.refine(*found)[0][:2]
    return face._replace(roll=float(np.degrees(np.arctan2(*(left - right)[::-1]))))


def pairs(faces: list[Face]) -> tuple[Any, Any]:
    """``[k, k]``: who is surely the same, who is surely not."""
    film = np.array([f.film for f in faces])
    photo = np.array([not f.film.endswith(".mp4") for f in faces])
    track, frame = np.array([f.track for f in faces]), np.array([f.frame for f in faces])
    one_film = film[:, None] == film
    same = one_film & (track[:, None] == track)
    other = one_film & (frame[:, None] == frame) & (track[:, None] != track)
    alone = photo & ~np.isin(film, film[photo & (track > 0)])  # portraits of one person each
    other |= ~one_film & (~photo[:, None] & ~photo | alone[:, None] & alone)
    alike = np.triu(np.ones_like(same), 1).astype(bool)
    return same & alike, other & alike


def auc(same: Any, other: Any) -> float:
    """The share of pairs (one of the same, one of others) in which the same are nearer."""
    order = np.sort(other)
    below, at = np.searchsorted(order, same, "left"), np.searchsorted(order, same, "right")
    return float(1 - (below + at).mean() / 2 / max(len(other), 1))


def row(name: str, numbers: Any, faces: list[Face], all_of_them: int) -> str:
    same, other = pairs(faces)
    apart = np.linalg.norm(numbers[:, None] - numbers, axis=2)
    near, far = apart[same], apart[other]
    if not len(near) or not len(far):
        return f"{name:34} too few faces"
    return (
        f"{name:34} {len(faces):5} {len(faces) / max(all_of_them, 1):6.0%} {len(near):6} {len(far):6} "
        f"{auc(near, far):7.4f} {np.median(near):6.2f} {np.median(far):6.2f} "
        f"{(near > LIMIT).mean():7.1%} {(far <= LIMIT).mean():7.1%}"
    )


HEAD = f"{'':34} faces  found   same  other     AUC  d same d other refused confused"


def main(folder: Path, every: int) -> None:
    session = OnnxSession(zoo.onnx_path("yunet"))
    faces: list[Face] = []
    for clip in sorted(folder.glob("*.mp4")):
        by_track: dict[int, list[Face]] = {}
        for face in films(clip, every):
            by_track.setdefault(face.track, []).append(face)
        for found in by_track.values():
            faces += [found[i] for i in np.unique(np.linspace(0, len(found) - 1, MOST).round().astype(int))]
    faces += photos(folder / "photos", session)
    if not faces:
        sys.exit(f"no faces are found in the films of {folder} and in its folder photos.")
    print(f"{len(faces)} faces of {len({(f.film, f.track) for f in faces})} tracks and portraits")
    refined, bare = Embedder(), Embedder(looks=0)
    faces = [face for face in (measured(face, session, refined) for face in faces) if face is not None]
    rolls = np.abs([face.roll for face in faces])
    print(f"{len(faces)} found again; roll: median {np.median(rolls):.0f}, most {rolls.max():.0f} degrees")
    print(
        "\nlandmarks sought anew (above) and as first found (below), by height of the box and tilt\n" + HEAD
    )
    for height in HEIGHTS:
        large = [face for face in faces if face.height >= height]
        for degrees in TILTS:
            answers = [
                (f, recognise(f, height, f.roll + (degrees, -degrees)[i % 2], session, [refined, bare]))
                for i, f in enumerate(large)
            ]
            kept = [(face, answer) for face, answer in answers if answer is not None]
            if not kept:
                continue
            for k, how in enumerate(("", "  as first found")):
                numbers = np.array([answer[k] for _, answer in kept])
                name = f"{height:3} px, {degrees:2} degrees{how}"
                print(row(name, numbers, [face for face, _ in kept], len(large)), flush=True)
    speed(faces, session, [refined, bare])


def speed(faces: list[Face], session: OnnxSession, embedders: list[Embedder]) -> None:
    """Milliseconds a face on one thread: the least of many, as the machine may be busy."""
    largest = max(faces, key=lambda f: f.height)
    found = again(largest, 120, largest.roll, session)
    if found is None:
        return
    picture, video, landmarks = found
    for embedder, name in zip(
        embedders, ("with landmarks sought anew", "with landmarks as first found"), strict=True
    ):
        for count in (1, 4):
            times = []
            for _ in range(30):
                start = time.perf_counter()
                embedder.embed(picture, video, landmarks.repeat(count, 0))
                times.append((time.perf_counter() - start) / count * 1e3)
            print(f"{name}, {count} at a time: {min(times):.2f} ms a face (median {np.median(times):.2f})")


if __name__ == "__main__":
    words = sys.argv[1:]
    options = dict(word.split("=", 1) for word in words if "=" in word)
    places = [Path(word) for word in words if "=" not in word]
    main(places[0] if places else Path("../shared/media"), int(options.get("every", 20)))
