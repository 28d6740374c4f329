"""Where dualface keeps its files: its own, which it only reads, and the user's.

``DUALFACE_HOME`` moves everything that belongs to the user into one folder.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent


def checkout() -> Path | None:
    """The root of the repository when dualface runs from one, else ``None`` (a wheel)."""
    root = PACKAGE.parent
    return root if (root / "run.py").is_file() and (root / "conf").is_dir() else None


def _packed(name: str) -> Path:
    root = checkout()
    return root / name if root else PACKAGE / name


def conf_dir() -> Path:
    """The config groups that come with dualface."""
    return _packed("conf")


def models_dir() -> Path:
    """The model descriptors that come with dualface."""
    return _packed("models")


def user_config_dir() -> Path:
    """The user's own config groups (``hw/manual.yaml`` among them); it may not exist."""
    home = os.environ.get("DUALFACE_HOME")
    return Path(home) / "config" if home else Path(platformdirs.user_config_dir("dualface", appauthor=False))


def cache_dir() -> Path:
    """What can be made again: converted models, engines, the demo clip, what was probed. Made
    if it is missing."""
    home = os.environ.get("DUALFACE_HOME")
    folder = Path(home) / "cache" if home else Path(platformdirs.user_cache_dir("dualface", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def lease_dir() -> Path:
    """Lock files of leases, shared by all runs on this machine whoever starts them. It is not made
    here, and neither ``DUALFACE_HOME`` nor ``TMPDIR`` moves it: what is leased is the machine's."""
    return Path(tempfile.gettempdir() if os.name == "nt" else "/tmp") / "dualface-leases"


def runtime_dir() -> Path:
    """Lock files of one user, for where `lease_dir` cannot be used. Made if it is missing."""
    home = os.environ.get("DUALFACE_HOME")
    if home:
        folder = Path(home) / "run"
    else:
        with warnings.catch_warnings():  # platformdirs warns where a login has no session
            warnings.simplefilter("ignore")
            folder = Path(platformdirs.user_runtime_dir("dualface", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a login without a session has no runtime folder
        user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
        folder = Path(tempfile.gettempdir()) / f"dualface-{user}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
