"""Hydra, with dualface's loader, settings and folders of configs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def register() -> None:
    """Tell Hydra of what is dualface's; once is enough, more does no harm."""
    from hydra.core.config_store import ConfigStore
    from hydra.core.plugins import Plugins

    from dualface.loading import install
    from dualface.searchpath import Folders
    from dualface.settings import Settings

    install()
    # (A name that no file of a user's has: Hydra would take such a file for it.)
    ConfigStore.instance().store(name="dualface_settings", node=Settings, provider="dualface")
    Plugins.instance().register(Folders)


def compose(ready: list[str], name: str | None = None) -> Any:
    """The config of one run, with Hydra's section; ``name`` is the main config's."""
    import hydra

    with _started():
        return hydra.compose(name or "config", ready, return_hydra_config=True)


def multirun(task: Any, ready: list[str], name: str | None = None) -> None:
    """Hand ``task`` the config of each run of a sweep."""
    with _started() as hydra:
        told = [*ready, "hydra.mode=MULTIRUN"]
        hydra.multirun(config_name=name or "config", task_function=task, overrides=told)


@contextmanager
def _started() -> Iterator[Any]:
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    from dualface.paths import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3", job_name="dualface"):
        yield GlobalHydra.instance().hydra
