"""Hydra's loader of configs with dualface's rules: every file is looked at (`dualface.guard`) where it
was put and before it is merged, so before Hydra acts on anything.

It is pickled into the processes of a parallel sweep, so the rules hold there too.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import hydra._internal.hydra
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.errors import ConfigCompositionException
from hydra.types import RunMode
from omegaconf import OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from dualface.clashes import check as check_sweep
from dualface.documents import UNMADE, text_of, unmade
from dualface.graph.errors import Problem, RequestError
from dualface.guard import content_problem, file_problem, put_problem, typed_problem
from dualface.paths import conf_dir
from dualface.sentences import problems_of

# What Hydra and OmegaConf raise beside their own classes, for configs of shapes that they do not expect.
LOOSE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)
REFUSED = "refused"  # the key of a config that stands for one that cannot be composed


class FileConfigSource(file_config_source.FileConfigSource):
    """A folder of configs, each held to a size before Hydra reads it. (By its name Hydra knows, also in
    another process, that it has one.)"""

    def load_config(self, config_path: str) -> Any:
        file = Path(self.path, self._normalize_file_name(config_path)).resolve()
        try:
            if file.exists():
                text_of(file)
            result = super().load_config(config_path)
            plain = OmegaConf.to_container(result.config, resolve=False)
            if not _trusted(result.path, config_path) and (problem := content_problem(str(file), plain)):
                raise RequestError([problem])
            return result
        except (RequestError, OmegaConfBaseException):
            raise
        except UnicodeDecodeError:
            message, hint = "this is no YAML: its text is not in UTF-8.", "Save it as UTF-8."
        except OSError as error:  # OmegaConf's, with no reason, where there is a single value
            message = f"it cannot be read: {error.strerror or 'there are no keys in it'}."
            hint = "A config holds 'key: value' lines."
        except UNMADE as error:
            raise unmade(str(file), error) from None
        raise RequestError([Problem("bad-yaml", str(file), message, hint)])


class Loader(ConfigLoaderImpl):
    """Raises `RequestError` for a config file that sets what it may not."""

    def _load_single_config(self, default: Any, repo: Any) -> Any:
        result = super()._load_single_config(default, repo)
        config = OmegaConf.to_container(result.config, resolve=False)
        reached = [str(key) for key in config] if isinstance(config, dict) else []
        if _trusted(result.path, default.config_path):
            if not _of_hydra(default) and (problem := put_problem(default.config_path, reached)):
                raise RequestError([problem])
            return result
        # An override of another file's choice shows in the list alone.
        defaults = [_path(item) for item in result.defaults_list or ()]
        group, _, _ = default.config_path.rpartition("/")
        file = Path(result.path.removeprefix("file://"), f"{default.config_path.removesuffix('.yaml')}.yaml")
        if problem := file_problem(str(file), group.split("/")[0], config, reached, defaults):
            raise RequestError([problem])
        if group.split("/")[0] != "hw" and isinstance(config, dict) and "hw" in config:
            from dualface.hw.keys import wrong_values

            if problems := wrong_values(str(file), config["hw"]):
                raise RequestError(problems)
        return result

    def _process_config_searchpath(self, config_name: Any, parsed_overrides: Any, repo: Any) -> None:
        for source in repo.get_sources():
            # Hydra's own choices would be lost, and its complaint would name another file.
            if source.scheme() == "file" and (own := next(Path(source.path, "hydra").rglob("*.yaml"), None)):
                raise _closed(str(own))
        # Hydra reads hydra.searchpath, and imports what it names, from a main config as it stands in its
        # file, before it is put anywhere.
        main = repo.load_config(config_path=config_name) if config_name else None
        if main is not None and not _trusted(main.path, config_name) and "hydra" in main.config:
            file = f"{main.path.removeprefix('file://')}/{config_name.removesuffix('.yaml')}.yaml"
            raise _closed(file)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)

    def load_configuration(
        self, config_name: Any, overrides: Any, run_mode: RunMode, *rest: Any, **named: Any
    ) -> Any:
        try:
            config = super().load_configuration(config_name, overrides, run_mode, *rest, **named)
        except LOOSE as error:
            word = re.match(r"Index '(.*)' \(str\) is not an int", str(error))
            if word is None:  # else an item of a list is named by a word
                raise _loose(error) from error
            typed = next((text for text in overrides if word[1] in re.split("[.=]", text)), "")
            raise ConfigCompositionException(f"Error merging override {typed}") from error
        if run_mode == RunMode.MULTIRUN:
            check_sweep(config, self)
        return config

    def load_sweep_config(self, master_config: Any, sweep_overrides: list[str]) -> Any:
        """One run of a sweep. What is wrong with it is told by that run (`REFUSED`), so that the
        others go on."""
        try:
            # What a sweeper adds of its own (hydra.sweeper.params) was not looked at when typed.
            keys = [text.lstrip("+~").partition("=") for text in sweep_overrides]
            if problems := [p for key, _, value in keys if (p := typed_problem(key, value))]:
                raise RequestError(problems)
            return super().load_sweep_config(master_config, sweep_overrides)
        except Exception as error:
            told = problems_of(_loose(error) if isinstance(error, LOOSE) else error)
            if told is None:
                raise
            config = copy.deepcopy(master_config)
            with open_dict(config):
                config.hydra.overrides.task = list(sweep_overrides)
                # As one text in which there is no $: what a problem cites is not to be followed.
                text = json.dumps([dataclasses.asdict(problem) for problem in told])
                config[REFUSED] = text.replace("$", r"\u0024")
            return config


def _closed(file: str) -> RequestError:
    """``file`` reaches Hydra's own section."""
    problem = file_problem(file, "", {}, ["hydra"], ())
    assert problem is not None
    return RequestError([problem])


def _loose(error: Exception) -> Exception:
    """What to tell of ``error``, one of `LOOSE`."""
    if problems_of(error) is not None:
        return error
    why = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    message = f"the configs cannot be put together: {why}."
    return RequestError([Problem("bad-config", "", message, "debug=true shows where.")])


def install() -> None:
    """Make Hydra load configs by `Loader`, and files by `FileConfigSource`."""
    Plugins.instance()  # or Hydra's own class would be registered afterwards
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
    hydra._internal.hydra.ConfigLoaderImpl = Loader  # type: ignore[attr-defined]


def _trusted(source: str, path: str) -> bool:
    """Whether the config ``path`` of ``source`` is dualface's, Hydra's or an installed plugin's of Hydra."""
    # A path with dots or a root may lead out of any folder.
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", path):
        return False
    return source == f"file://{conf_dir()}" or source.startswith(
        ("structured://", "pkg://hydra.conf", "pkg://hydra_plugins.")
    )


def _of_hydra(default: Any) -> bool:
    """Whether ``default`` belongs into Hydra's section: Hydra's own configs, and dualface's main one."""
    if default.config_path.startswith("hydra/"):
        return True
    return default.config_path == "config" and default.package in (None, "", "_global_")


def _path(item: Any) -> str:
    return str(getattr(item, "group", None) or getattr(item, "path", None) or "")
