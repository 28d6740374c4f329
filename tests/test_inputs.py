"""Inputs as they are named, and where their outputs go: only what is typed leads out of outputs/."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dualface import inputs
from dualface.graph.errors import RequestError
from dualface.inputs import wishes


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here" / "outputs").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("a.mp4").touch()
    Path("link").symlink_to(tmp_path / "outside")
    Path("outputs/link").symlink_to(tmp_path / "outside")
    Path("outputs/a_there.mp4").symlink_to(tmp_path / "outside" / "a.mp4")
    return tmp_path


def config(**more: Any) -> dict[str, Any]:
    return {"input": "a.mp4", "output": None, "graph": {"output": "outputs/{name}.mp4"}, **more}


ELSEWHERE = [
    "../{name}.mp4", "/tmp/{name}.mp4", "{name}.mp4", "outputs/../{name}.mp4", "outputs/x/../../{name}.mp4",
    "link/{name}.mp4", "outputs/link/{name}.mp4", "outputs/{name}_there.mp4", "./../outputs/x.mp4", "outputs",
    "~/{name}.mp4", "outputsx/{name}.mp4",
]  # fmt: skip


@pytest.mark.parametrize("template", ELSEWHERE)
def test_a_config_leads_no_output_elsewhere(template: str) -> None:
    for given in (config(output=template), config(graph={"output": template})):
        with pytest.raises(RequestError) as caught:
            wishes(given, typed={"input"})
        (problem,) = caught.value.problems
        assert problem.where == ("output" if given["output"] else "graph.output")
        if template != "outputs":
            assert f"a config names {template} as output, which is not within the folder outputs." in str(
                problem
            )
            assert f"Type output={template} if that is meant." in str(problem)


@pytest.mark.parametrize("template", ELSEWHERE)
def test_what_is_typed_leads_anywhere(template: str) -> None:
    (one,) = wishes(config(output=template), typed={"output"})
    (other,) = wishes(config(graph={"output": template}), typed={"graph.output"})
    assert one.output == other.output == Path(template.replace("{name}", "a"))


@pytest.mark.parametrize(
    "template", ["outputs/{name}.mp4", "outputs/x/{name}/{index}.mp4", "./outputs/x..mp4"]
)
def test_within_the_folder_a_config_says_what_it_likes(template: str, here: Path) -> None:
    (one,) = wishes(config(output=template), typed={"input"})
    assert one.output == Path(template.replace("{name}", "a").replace("{index}", "0"))
    (one,) = wishes(config(graph={"output": template}), here / "runs" / "0", {"input"})
    assert one.output.is_relative_to(here / "runs" / "0" / "outputs")


@pytest.mark.parametrize(
    "name", ["..mp4", "...mp4", "....mp4", "a\nb.mp4", "\x1b[31m.mp4", "{name}.mp4", "-x.mp4"]
)
def test_no_name_of_an_input_leads_elsewhere(name: str) -> None:
    Path(name).touch()
    given = config(input=name, graph={"output": "outputs/{name}/x.mp4"})
    (one,) = wishes(given)
    assert len(one.output.parts) == 3
    assert ".." not in one.output.parts
    assert not set(str(one.output)) & set("\n\x1b")


@pytest.mark.parametrize("output", ["", ".", "/", "a\0b.mp4", "{x}.mp4", "{0.__class__}.mp4", "{name!r}.mp4"])
def test_what_names_no_file_is_refused(output: str) -> None:
    with pytest.raises(RequestError) as caught:
        wishes(config(output=output), typed={"output"})
    assert {problem.code for problem in caught.value.problems} == {"bad-output"}


def test_a_list_from_a_config_is_a_file_of_some_size(monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo("fifo")
    for listed, says in (
        ("fifo", "it is no file"),
        ("/dev/zero", "it is no file"),
        ("a\0b", "not UTF-8 text"),
    ):
        with pytest.raises(RequestError, match=says):
            wishes(config(input=None, input_list=listed))
    monkeypatch.setattr(inputs, "LIST_MOST", 1 << 20)
    with pytest.raises(RequestError, match="it has more than 1 MiB"):
        wishes(config(input=None, input_list="/dev/zero"), typed={"input_list"})
    Path("list.txt").write_bytes(b"a.mp4\nb\0.mp4\n")
    with pytest.raises(RequestError, match="a path holds no NUL character"):
        wishes(config(input=None, input_list="list.txt"))


def test_a_typed_list_may_come_from_a_pipe() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"a.mp4\n")
    os.close(writing)
    (one,) = wishes(config(input=None, input_list=f"/dev/fd/{reading}"), typed={"input_list"})
    os.close(reading)
    assert one.path == "a.mp4"
