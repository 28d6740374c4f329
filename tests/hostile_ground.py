"""A folder in which hostile configs are tried out, and what they may not bring about."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_configs import SECRET, SURFACES
from media import Film, make
from watching import watched

LEASES = Path("/tmp/dualface-leases")
TOKEN = "what-nobody-may-read"


class Ground:
    """A folder to be in, with everything a hostile config could reach for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outside = folder / "outside"
        self.here = folder / "here"
        for name in ("outside", "here/outputs", "home", "plugin/hostile_conf/graph"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        make(self.here / "a.mp4", Film(times=range(3)))
        (self.here / "evil.py").write_text("raise SystemExit('evil ran')")
        (self.here / "list.txt").write_text("a.mp4\n")
        os.mkfifo(self.here / "fifo")
        (self.here / "link").symlink_to(self.outside)
        (self.here / "outputs" / "link").symlink_to(self.outside)
        entry = folder / "plugin" / "hostile-1.0.dist-info"
        entry.mkdir()
        (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
        (entry / "entry_points.txt").write_text("[dualface.conf]\nhostile = hostile_conf\n")

    def try_out(self, surface: str, text: str, args: list[str]) -> tuple[int | str, str, list[str]]:
        """Exit code (or the exception that came out), what was said, and what is wrong with that."""
        from dualface.app import main

        file = self._put(surface, text)
        outputs = [self.here / "runs", self.here / "outputs", self.folder / "home", LEASES]
        # What is typed may lead anywhere.
        allowed = [self.folder, LEASES] if surface == "typed" else outputs
        before = set(self.here.rglob("*"))
        said = io.StringIO()
        code: int | str
        with (
            self._within(),
            watched(*allowed) as findings,
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
        ):
            try:
                code = main(args)
            except (Exception, SystemExit) as error:
                code = type(error).__name__
                findings.append(f"{code} came out: {error}")
        told = said.getvalue()
        if "Something went wrong" in told or "Traceback" in told:
            findings.append("it went wrong within")
        if code not in (0, 1, 2):
            findings.append(f"exit code {code}")
        if code and not told.strip():
            findings.append("nothing was said")
        if surface != "typed":
            made = {path for path in self.here.rglob("*") if path not in before}
            stray = [p for p in made if p.relative_to(self.here).parts[0] not in ("runs", "outputs")]
            findings += [f"made {stray[0]}"] if stray else []
            findings += ["a file was made outside"] if any(self.outside.iterdir()) else []
            if any(TOKEN in text for text in [told, *map(_text, made)]):
                findings.append("the environment was read")
        self._tidy(file)
        return code, told, findings

    def _put(self, surface: str, text: str) -> Path | None:
        (self.here / "conf").mkdir(exist_ok=True)
        if surface not in SURFACES:
            return None
        name = SURFACES[surface][0]
        file = (self.here if name.startswith("conf") else self.folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        return file

    @contextlib.contextmanager
    def _within(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.here)
            patch.setenv("DUALFACE_HOME", str(self.folder / "home"))
            patch.setenv(SECRET, TOKEN)
            patch.setattr(sys, "path", [str(self.here), str(self.folder / "plugin"), *sys.path])
            patch.setattr(sys, "dont_write_bytecode", True)
            yield

    def _tidy(self, file: Path | None) -> None:
        for path in [file, *self.outside.iterdir()]:
            if path:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.here / "outputs", ignore_errors=True)
        shutil.rmtree(self.here / "runs", ignore_errors=True)


def command(surface: str, planned: bool) -> list[str]:
    """What is typed to use what is in ``surface``."""
    args = [] if surface in ("manual", "model", "plugin") else ["--config-dir", "conf"]
    args += SURFACES[surface][1]
    if surface in ("model", "target"):
        return args
    args += ["input=a.mp4", *(["action=plan"] if planned else [])]
    return args if "hw=" in str(args) else [*args, "hw=cpu"]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
