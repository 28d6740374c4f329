"""What is kept beside an output is never written through links."""

from __future__ import annotations

from pathlib import Path

import pytest
from execute_fakes import make_job

from dualface.graph.errors import InputError
from dualface.graph.running.manifest import entry_of, note
from dualface.graph.running.unfinished import Unfinished, folder_of


def test_links_are_not_followed(tmp_path: Path) -> None:
    """A folder of somebody else's may hold them; what they lead to is neither cleared nor written."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "photo.jpg").write_bytes(b"kept")
    folder_of(tmp_path / "a.mp4").symlink_to(theirs)
    unfinished = Unfinished(tmp_path / "a.mp4")
    with pytest.raises(InputError, match="it is a link; remove it"):
        unfinished.take("request", go_on=False)
    with pytest.raises(InputError, match="it is a link; remove it"):
        unfinished.workspace("encode")
    unfinished.remove()

    job, file = make_job("b", tmp_path), tmp_path / "b.mp4"
    file.write_bytes(b"film")
    entry = entry_of(job.output)
    entry.parent.symlink_to(theirs)
    with pytest.raises(InputError, match="is a link; remove it"):
        note(job, "request", {job.output: file})
    entry.parent.unlink()
    entry.parent.mkdir()
    entry.with_name(f"{entry.name}.new").symlink_to(theirs / "photo.jpg")
    note(job, "request", {job.output: file})
    assert not entry.is_symlink()
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == {"photo.jpg": b"kept"}
