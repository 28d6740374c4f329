"""A two-person clip made on the spot, so that the first command needs no footage.

The faces are public-domain NASA and US Navy portraits that packages carry: Grace Hopper in
matplotlib's sample data, Eileen Collins in scikit-image's. They sway, nod and move their jaws in
turns, in time with two murmuring voices. The same file comes out every time.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualface.graph.errors import InputError

WIDTH, HEIGHT, RATE, SECONDS, SOUND_RATE = 1280, 720, 30, 12, 48_000
TURN = 3  # seconds that each speaks before the other does
VERSION = 1  # in the file's name: another picture is another file
Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Person:
    """A portrait: its face's centre and the middle of its mouth in photo pixels, how much it is
    enlarged, where its face is put in its half, the pitch of its voice in Hz."""

    photo: Image
    face: tuple[float, float]
    mouth: tuple[float, float]
    jaw: float
    scale: float
    place: tuple[float, float]
    pitch: float
    phase: float


def demo_clip(folder: Path | None = None) -> Path:
    """The clip's path in ``folder`` (the user's cache unless given), made if it is not there.

    1280x720, 12 s, 30 frames a second, stereo AAC. Raises `InputError` where the packages with
    the portraits are not installed.
    """
    if folder is None:
        from dualface.paths import cache_dir

        folder = cache_dir() / f"demo-{VERSION}"
    path = folder / "demo.mp4"
    if path.is_file():
        return path
    people = _people()
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(suffix=".mp4", prefix=".demo-", dir=folder)
    os.close(handle)
    try:
        _write(Path(name), people)
        os.replace(name, path)  # others see the whole clip or none
    finally:
        Path(name).unlink(missing_ok=True)
    return path


def _people() -> tuple[Person, Person]:
    try:
        import cv2
        import matplotlib
        from skimage.data import astronaut
    except ImportError as error:
        raise InputError(
            f"the demo clip needs the package {error.name} for its portraits: pip install 'dualface[demo]'"
        ) from error
    hopper = cv2.imread(str(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"))
    if hopper is None:
        raise InputError("the demo clip needs matplotlib's sample data, which this installation lacks")
    collins = np.array(astronaut()[..., ::-1], np.uint8)  # type: ignore[no-untyped-call]
    return (
        Person(np.array(hopper, np.uint8), (268, 215), (265, 272), 46, 1.0, (330, 340), 165, 0.0),
        Person(collins, (223, 118), (219, 146), 25, 1.85, (310, 335), 205, 1.9),
    )


def loudness(turn: int) -> Floats:
    """How open a speaker's mouth is, 0..1 for each sample of sound: syllables while it is its turn."""
    t = np.arange(SECONDS * SOUND_RATE) / SOUND_RATE
    own = (t // TURN).astype(int) % 2 == turn
    within = t % TURN
    fade = np.clip(np.minimum(within - 0.15, TURN - 0.25 - within) / 0.12, 0, 1)
    syllables = np.clip(np.sin(2 * np.pi * (4.3 + 0.4 * turn) * t + 0.9 * np.sin(2 * np.pi * 0.7 * t)), 0, 1)
    pauses = 0.5 + 0.5 * np.tanh(6 * (np.sin(2 * np.pi * 0.83 * t + turn) + 0.75))
    return np.asarray(own * fade * syllables**0.7 * pauses, np.float64)


def voice(pitch: float, loud: Floats) -> Floats:
    """A murmur: harmonics of a wavering pitch under two slowly moving resonances."""
    t = np.arange(len(loud)) / SOUND_RATE
    melody = pitch * (1 + 0.06 * np.sin(2 * np.pi * 0.45 * t) + 0.012 * np.sin(2 * np.pi * 5.1 * t))
    angle = 2 * np.pi * np.cumsum(melody) / SOUND_RATE
    first, second = 520 + 180 * np.sin(2 * np.pi * 1.3 * t), 1350 + 350 * np.sin(2 * np.pi * 0.9 * t)
    sound = np.zeros_like(t)
    for harmonic in range(1, 13):
        tone = harmonic * melody
        gain = np.exp(-(((tone - first) / 260) ** 2)) + 0.5 * np.exp(-(((tone - second) / 320) ** 2))
        sound += (gain + 0.25 / harmonic**2) * np.sin(harmonic * angle)
    return np.asarray(0.16 * loud * sound, np.float64)


class Portrait:
    """Draws one person on their half of the picture at any time."""

    def __init__(self, person: Person, width: int) -> None:
        import cv2

        self.person, self.width = person, width
        photo = person.photo
        h, w = photo.shape[:2]
        self.background = cv2.GaussianBlur(
            cv2.resize(cv2.GaussianBlur(photo, (0, 0), 24), (width, HEIGHT)), (0, 0), 18
        )
        # Opaque inside, dissolving into the blurred copy of itself towards the sides and the top.
        x, y = np.meshgrid(np.arange(w), np.arange(h))
        edge = np.minimum((np.minimum(x, w - 1 - x) - 20) / 60, (y - 2) / 9)
        self.alpha = cv2.GaussianBlur(np.clip(edge, 0, 1).astype(np.float32), (0, 0), 6, sigmaY=2)
        self.alpha[:1] = 0  # what lies beyond the edge repeats it
        # Opening the mouth stretches what is below its line downwards, most at the mouth.
        mx, my = person.mouth
        across = np.exp(-(((x - mx) / (0.9 * person.jaw)) ** 2))
        below = np.clip((y - my) / (0.35 * person.jaw), 0, 1) * np.exp(
            -((np.clip(y - my, 0, None) / person.jaw) ** 2)
        )
        reach = round(3 * person.jaw)
        self.chin = (slice(int(my), int(my) + reach), slice(max(0, int(mx) - reach), int(mx) + reach))
        self.drop = (across * below).astype(np.float32)[self.chin]
        self.x, self.y = x.astype(np.float32)[self.chin], y.astype(np.float32)[self.chin]

    def draw(self, t: float, open_mouth: float) -> Image:
        """The half picture ``[720, width, 3]`` BGR at ``t`` seconds."""
        import cv2

        p = self.person
        speaking = p.photo.copy()
        lowered = self.y - 0.28 * p.jaw * open_mouth * self.drop
        speaking[self.chin] = cv2.remap(p.photo, self.x, lowered, cv2.INTER_LINEAR)
        sway = 16 * np.sin(2 * np.pi * t / 5.3 + p.phase) + 5 * np.sin(2 * np.pi * t / 2.1 + p.phase)
        nod = 4 * np.sin(2 * np.pi * t / 3.7 + 2 * p.phase) + 5 * open_mouth
        tilt = 2.6 * np.sin(2 * np.pi * t / 4.4 + 1.3 * p.phase)
        zoom = p.scale * (1 + 0.012 * np.sin(2 * np.pi * t / 6.5 + p.phase))
        move = cv2.getRotationMatrix2D(p.face, tilt, zoom)
        move[0, 2] += p.place[0] - p.face[0] + sway
        move[1, 2] += p.place[1] - p.face[1] + nod
        size = (self.width, HEIGHT)
        drawn = cv2.warpAffine(speaking, move, size, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.warpAffine(self.alpha, move, size, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(cv2.blendLinear(drawn, self.background, alpha, 1 - alpha), np.uint8)


def _write(path: Path, people: tuple[Person, Person]) -> None:
    import av
    import cv2

    half, seam = WIDTH // 2, 60
    portraits = [Portrait(person, half + seam) for person in people]
    loud = [loudness(turn) for turn in (0, 1)]
    ramp = np.tile(np.linspace(1, 0, 2 * seam, dtype=np.float32), (HEIGHT, 1))
    with av.open(f"file:{path}", "w", container_options={"movflags": "+faststart"}) as out:
        video = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "20"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.thread_type = "FRAME"
        tags = video.codec_context
        tags.color_range, tags.colorspace, tags.color_primaries, tags.color_trc = 1, 1, 1, 1
        audio = out.add_stream("aac", rate=SOUND_RATE, layout="stereo", bit_rate=128_000)
        audio.metadata["language"] = "eng"
        sound = _mix(people, loud)
        for i in range(SECONDS * RATE):
            sample = i * SOUND_RATE // RATE
            left, right = (
                portrait.draw(i / RATE, float(loud[k][sample])) for k, portrait in enumerate(portraits)
            )
            picture = np.empty((HEIGHT, WIDTH, 3), np.uint8)
            picture[:, : half - seam] = left[:, : half - seam]
            picture[:, half + seam :] = right[:, 2 * seam :]
            picture[:, half - seam : half + seam] = cv2.blendLinear(
                np.ascontiguousarray(left[:, half - seam :]),
                np.ascontiguousarray(right[:, : 2 * seam]),
                ramp,
                1 - ramp,
            )
            frame = av.VideoFrame.from_ndarray(picture, "bgr24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            frame.pts, frame.time_base = i, Fraction(1, RATE)
            out.mux(video.encode(frame))
            if i % RATE == 0:
                out.mux(_encoded(audio, sound[:, sample : sample + SOUND_RATE], sample))
        out.mux(video.encode(None))
        out.mux(audio.encode(None))


def _mix(people: tuple[Person, Person], loud: list[Floats]) -> npt.NDArray[np.float32]:
    """Stereo ``[2, samples]``: each voice louder on its speaker's side, over a little room noise."""
    first, second = (voice(person.pitch, level) for person, level in zip(people, loud, strict=True))
    noise = np.random.default_rng(1).normal(0, 0.0015, (2, len(first)))
    return (np.stack([first + 0.45 * second, 0.45 * first + second]) + noise).astype(np.float32)


def _encoded(audio: Any, samples: npt.NDArray[np.float32], start: int) -> Any:
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), "fltp", "stereo")
    frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
    return audio.encode(frame)
