"""How often the tracker shows the wrong person: crossing clips with true boxes, and its time.

    python experiments/tracking.py FOLDER [FOLDER ...] [detect.size=480 track.match=0.2 ...]

Each folder holds NAME.mp4 and NAME.txt in MOT style: frame (from 1), person, x, y, width, height,
1, 1, visible share. Prints one line a folder:

- recall: faces that count (at least 0.3 visible, half of them in the frame) with a reported box of
  IoU 0.4 or more;
- wrong: of these, those whose track belongs by its best one-to-one mapping to somebody else;
  spare: those whose track is nobody's, because the person has another one already;
- IDF1 over the same pairs; the tracks there were; microseconds a frame of the tracker node.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

from dualface.graph.job import Job
from dualface.graph.node import Context, NodeConfig
from dualface.graph.options import parse
from dualface.graph.types import spans
from dualface.nodes.decode.probe import probe
from dualface.nodes.decode.pyav import PyavConfig, PyavDecode
from dualface.nodes.detect.looking import YunetConfig
from dualface.nodes.detect.yunet import Yunet
from dualface.nodes.track.assign import hungarian, iou
from dualface.nodes.track.bytetrack import Bytetrack, BytetrackConfig
from dualface.nodes.track.kalman import Box

VISIBLE, WITHIN, OVERLAP = 0.3, 0.5, 0.4


def truth(path: Path, width: int, height: int) -> dict[int, list[tuple[str, Box]]]:
    """The faces that count, by frame from 0."""
    found: dict[int, list[tuple[str, Box]]] = {}
    for line in path.read_text().splitlines():
        frame, person, *numbers = line.split(",")
        x, y, w, h, _, _, visible = (float(n) for n in numbers)
        inside = max(0.0, min(x + w, width) - max(x, 0)) * max(0.0, min(y + h, height) - max(y, 0))
        if visible >= VISIBLE and inside >= WITHIN * w * h:
            found.setdefault(int(frame) - 1, []).append((person, (x, y, x + w, y + h)))
    return found


def follow(clip: Path, detect: YunetConfig, track: BytetrackConfig) -> tuple[Job, list[Any], float]:
    """The job, for each frame ``(id, box)`` of what was really seen, and the tracker's seconds."""
    job = probe(clip, output=clip.with_suffix(".none"), name=clip.stem)
    nodes = PyavDecode(PyavConfig()), Yunet(detect), Bytetrack(track)
    for node in nodes:
        node.open(Context(job, "", 8, 1, lambda e: None, lambda: False, lambda p: p,
                          lambda n, v: None, lambda n, v: None))  # fmt: skip
    decode, look, link = nodes
    rows: list[Any] = []
    spent = 0.0
    while (batch := decode.process()) is not None:
        faces, cuts = look.process(batch.frames)
        start = time.perf_counter()
        tracks = link.process(faces, cuts)
        spent += time.perf_counter() - start
        for span in spans(tracks.counts):
            seen = zip(tracks.ids[span], tracks.boxes[span].tolist(), tracks.scores[span], strict=True)
            rows.append([(int(i), tuple(box)) for i, box, score in seen if score > 0])
    for node in nodes:
        node.close()
    return job, rows, spent


def overlaps(faces: list[tuple[str, Box]], row: list[tuple[int, Box]]) -> list[tuple[str, int]]:
    """Person and track id of the faces that were found; the closest pairs first."""
    pairs = sorted(
        ((iou(box, own), f, t) for f, (_, box) in enumerate(faces) for t, (_, own) in enumerate(row)),
        reverse=True,
    )
    taken_faces: set[int] = set()
    taken: set[int] = set()
    found = []
    for shared, f, t in pairs:
        if shared >= OVERLAP and f not in taken_faces and t not in taken:
            taken_faces.add(f)
            taken.add(t)
            found.append((faces[f][0], row[t][0]))
    return found


def score(clip: Path, detect: YunetConfig, track: BytetrackConfig) -> Counter[str]:
    """The counts of one clip."""
    job, rows, spent = follow(clip, detect, track)
    faces = truth(clip.with_suffix(".txt"), *job.video.display_size)
    met = Counter(
        pair for frame, there in faces.items() if frame < len(rows) for pair in overlaps(there, rows[frame])
    )
    people, ids = sorted({p for p, _ in met}), sorted({i for _, i in met})
    costs = [[float(-met[p, i]) for i in ids] for p in people]
    owner = {ids[j]: people[i] for i, j in hungarian(costs)}
    right = sum(n for (p, i), n in met.items() if owner.get(i) == p)
    spare = sum(n for (p, i), n in met.items() if i not in owner)
    return Counter(
        faces=sum(map(len, faces.values())), found=met.total(), right=right, spare=spare,
        wrong=met.total() - right - spare, boxes=sum(map(len, rows)), frames=len(rows),
        tracks=len({i for row in rows for i, _ in row}), nanoseconds=int(spent * 1e9),
    )  # fmt: skip


def options(words: list[str], prefix: str, config: type[NodeConfig]) -> Any:
    """The node's options among ``words``; exits with a sentence where one is wrong."""
    import yaml

    given = [word.removeprefix(prefix).partition("=") for word in words if word.startswith(prefix)]
    made, problems = parse(config, {name: yaml.safe_load(value) for name, _, value in given}, prefix)
    if made is None:
        sys.exit("\n".join(str(problem) for problem in problems))
    return made


def main(words: list[str]) -> None:
    detect, track = options(words, "detect.", YunetConfig), options(words, "track.", BytetrackConfig)
    folders = [Path(word) for word in words if not word.startswith(("detect.", "track."))]
    if not folders:
        sys.exit(__doc__)
    for folder in folders:
        clips = sorted(clip for clip in folder.glob("*.mp4") if clip.with_suffix(".txt").is_file())
        if not clips:
            sys.exit(f"{folder} has no clips with true boxes beside them (NAME.mp4 and NAME.txt)")
        n = sum((score(clip, detect, track) for clip in clips), Counter())
        idf1 = Fraction(2 * n["right"], n["faces"] + n["boxes"])
        print(
            f"{folder.name}: {len(clips)} clips, recall {n['found'] / n['faces']:.1%},"
            f" wrong {n['wrong'] / n['found']:.1%}, spare {n['spare'] / n['found']:.1%},"
            f" IDF1 {float(idf1):.1%}, {n['tracks']} tracks,"
            f" tracker {n['nanoseconds'] / n['frames'] / 1e3:.0f} µs a frame",
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1:])
