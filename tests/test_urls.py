"""Inputs on a host: only where they are allowed, and then as files are."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from media import Film, Sound, make, tracks
from standins.host import serving

from dualface.app import main

GRAPH = """
defaults: [/node/decode@nodes.decode: auto, /node/encode@nodes.encode: x264, _self_]
name: copy
nodes:
  encode: {inputs: {frames: decode.frames, source: decode.source}}
"""
FILM = Film(times=range(40), sounds=(Sound(),))
OPENSSL = shutil.which("openssl")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, with the graph, beside ``served``."""
    for folder in ("served", "conf/graph"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "conf" / "graph" / "copy.yaml").write_text(GRAPH)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str) -> int:
    return main(["--config-dir", "conf", "graph=copy", "quiet=true", "hydra.run.dir=run", *args])


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence of the only input, which is also that of its job."""
    (job,) = json.loads(Path("run", "report.json").read_text())["jobs"]
    said = capsys.readouterr().err
    assert said.splitlines()[0] == job["error"]
    return str(job["error"])


@pytest.mark.parametrize("name", ["a b.mp4", "a b.mkv", "a b.ts"])
def test_a_video_on_a_host(name: str, here: Path) -> None:
    make(here / "served" / name, FILM)
    with serving(here / "served") as host:
        address = f"{host}/{name.replace(' ', '%20')}?key=1/2&x={{3}}"
        assert run("protocols=[file,http]", f"input={address}", "output={name}_copy.mp4") == 0
    (job,) = json.loads(Path("run", "report.json").read_text())["jobs"]
    assert (job["name"], job["frames_out"], job["input"]) == ("a b", 40, address)
    assert not [event for event in job["events"] if event["kind"] != "notice"]
    assert len(tracks(here / "a b_copy.mp4", "audio")) == 1


def test_what_the_host_answers_is_a_sentence(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "served" / "text.mp4").write_text("no video " * 1000)
    with serving(here / "served") as host:
        assert run("protocols=[http]", f"input={host}/none.mp4") == 1
        assert refused(capsys) == f"{host}/none.mp4: cannot be opened (Server returned 404 Not Found)"
        assert run("protocols=[http]", f"input={host}/text.mp4") == 1
        assert "is not a video, or" in refused(capsys)
    assert run("protocols=[http]", f"input={host}/a.mp4") == 1
    assert refused(capsys) == f"{host}/a.mp4: cannot be opened (Connection refused)"


def test_a_protocol_that_is_not_allowed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("input=http://127.0.0.1:1/a.mp4") == 1
    assert refused(capsys).endswith(
        "opening http: addresses is not allowed (only file); download it first, or say protocols=[file,http]"
    )
    assert run("input=rtsp://127.0.0.1:1/a.mp4", "protocols=[file,http]") == 1
    assert refused(capsys).endswith("(only file, http); download it first")
    assert run("input=file:///a.mp4") == 1  # it would not be seen to be the output's file
    assert "named by their path" in refused(capsys)
    assert run("input=concat://a.ts", "protocols=[file,concat,htps]") == 2
    said = capsys.readouterr().err
    assert "protocols: inputs cannot be opened by 'concat'. There are file, http, https." in said
    assert "'htps'" in said
    assert run("input=a.mp4", "graph.nodes.decode.protocols=[file,http]") == 2
    assert "no option 'protocols'" in capsys.readouterr().err.replace("has an option", "no option")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    if OPENSSL is None:
        pytest.skip("no openssl to make a certificate")
    both = tmp_path / "both.pem"
    subprocess.run(
        [OPENSSL, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "2",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", both, "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_text(both.read_text() + (tmp_path / "cert.pem").read_text())
    return both


def test_https_needs_no_more_words_but_a_host_that_is_known(
    here: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make(here / "served" / "a.mp4")
    with serving(here / "served", certificate) as host:
        assert run("protocols=[file,https]", f"input={host}/a.mp4", "output=a.mp4") == 1
        assert "is not who it says it is" in refused(capsys)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert run("protocols=[file,https]", f"input={host}/a.mp4", "output=a.mp4") == 0
        # From http to https only where both are allowed.
        with serving(here, moved=host) as old:
            assert run("protocols=[http]", f"input={old}/a.mp4", "output=b.mp4") == 1
            assert run("protocols=[http,https]", f"input={old}/a.mp4", "output=b.mp4") == 0


def test_a_file_leads_to_no_host_whatever_is_allowed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "v.ts")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}/v.ts"
        playlist = here / "list.mp4"
        for text in (f"#EXTM3U\n#EXTINF:1,\n{address}\n", f"ffconcat version 1.0\nfile {address}\n"):
            playlist.write_text(text)
            assert run("protocols=[file,http,https]", "input=list.mp4") == 1
            assert "is a playlist or a description" in refused(capsys)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_host_leads_to_no_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(here / "v.ts")
    (here / "served" / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\nfile:{here}/v.ts\n#EXT-X-ENDLIST\n")
    with serving(here / "served") as host, serving(here, moved=f"file:{here}/") as to_file:
        for address in (f"{host}/list.mp4", f"{to_file}/v.ts"):
            assert run("protocols=[file,http]", f"input={address}") == 1
            assert refused(capsys)
