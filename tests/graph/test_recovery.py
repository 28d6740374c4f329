"""Failures are classed, and rules decide what is done about them."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dualface.actions.recovery import read_recovery
from dualface.graph.errors import DeviceError, InputError, RequestError
from dualface.graph.failures import Failure, failure_of
from dualface.graph.recovery import (
    AT_ONCE,
    CURES_STICKY,
    IN_PLACE,
    RESTARTS,
    Action,
    Backoff,
    Budgets,
    Recovery,
    Rule,
    Taken,
    decide,
)

CONF = Path(__file__).parents[2] / "conf" / "recovery"


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def too_much() -> Exception:
    try:
        np.empty(1 << 56, np.uint8)
    except Exception as error:  # numpy's own kind of MemoryError
        return error
    raise AssertionError


class CUDARuntimeError(RuntimeError): ...


CUDARuntimeError.__module__ = "cupy_backends.cuda.api.runtime"


class NVMLError_Unknown(Exception): ...


@pytest.mark.parametrize(
    ("error", "blame", "sticky"),
    [
        (InputError("a.mp4: is empty"), "input", False),
        (InputError("cuda out of memory.mp4: is empty"), "input", False),
        (DeviceError("NVENC gave up at frame 3: x"), "device", False),
        (DeviceError("a.mp4: NVDEC refused a session (x)"), "device", False),
        (MemoryError(), "resource", False),
        (too_much(), "resource", False),
        (OSError(errno.ENOSPC, "full"), "resource", False),
        (caused(InputError("x.mp4 cannot be written"), OSError(errno.ENOSPC, "full")), "resource", False),
        (OSError(errno.EMFILE, "many"), "resource", False),
        (OSError(errno.EIO, "gone"), "device", False),
        (OSError(errno.EACCES, "denied"), "bug", False),
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"), "resource", False),
        (CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"), "resource", False),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "device", True),
        (CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure"), "device", True),
        (RuntimeError("CUDA error: device-side assert triggered"), "device", True),
        (CUDARuntimeError("cudaErrorECCUncorrectable: uncorrectable ECC error encountered"), "device", True),
        (DeviceError("NVENC gave up: CUDA_ERROR_ILLEGAL_ADDRESS"), "device", True),
        (NVMLError_Unknown("Unknown Error"), "device", False),
        (ValueError("the frames are not on cuda"), "bug", False),
        (KeyError("gpu"), "bug", False),
        (RuntimeError("no idea"), "bug", False),
        (caused(RuntimeError("no idea"), MemoryError()), "resource", False),
        (SystemExit(1), "bug", False),
    ],
)
def test_who_is_to_blame(error: BaseException, blame: str, sticky: bool) -> None:
    found = failure_of(error)
    assert (found.blame, found.sticky) == (blame, sticky)
    assert found.text.strip()


ACTIONS = get_args(Action)
counts = st.integers(0, 4)
rules = st.builds(
    Rule,
    nodes=st.sampled_from(["*", "decode/*", "decode", "detect/y*", "encode/x264"]),
    error=st.sampled_from(["input", "resource", "device", "stall"]),
    actions=st.lists(st.sampled_from(ACTIONS), min_size=1, unique=True)
    .map(lambda names: tuple(sorted(names, key="fail".__eq__)))
    .filter(lambda names: "fail" not in names[:-1]),
)
recoveries = st.builds(
    Recovery,
    budgets=st.builds(Budgets, **{action: counts for action in ACTIONS if action != "fail"}, job=counts),
    backoff=st.builds(Backoff, first=st.floats(0, 5), factor=st.floats(1, 10), most=st.floats(5, 100)),
    rules=st.lists(rules, max_size=5).map(tuple),
)
failures = st.builds(
    Failure,
    blame=st.sampled_from(["input", "resource", "device", "bug", "stall"]),
    text=st.just("it broke"),
    sticky=st.booleans(),
)
places = st.sampled_from([("a", "decode/pyav"), ("b", "detect/yunet"), ("c", "encode/x264")])


@given(recoveries, st.lists(st.tuples(places, failures, st.sets(st.sampled_from(ACTIONS))), max_size=60))
def test_it_ends_keeps_the_order_and_never_retries_a_bug(
    recovery: Recovery, events: list[tuple[tuple[str, str], Failure, set[Action]]]
) -> None:
    history: list[Taken] = []
    for (node, kind), failure, able in events:
        made = decide(recovery, node, kind, failure, history, able)
        if made.action == "fail":
            assert made.wait == 0
            continue
        assert failure.blame != "bug"
        assert made.action in able
        assert not failure.sticky or made.action in CURES_STICKY
        assert 0 <= made.wait <= recovery.backoff.most
        assert made.action not in AT_ONCE or made.wait == 0
        rule = next(rule for rule in recovery.rules if rule.applies(kind, failure))
        used = {a: sum(t == Taken(node, a) for t in history) for a in ACTIONS}
        for earlier in rule.actions[: rule.actions.index(made.action)]:
            # What stands before it cannot be done, would not help, or is used up.
            helps = not failure.sticky or earlier in CURES_STICKY
            assert earlier not in able or not helps or used[earlier] >= getattr(recovery.budgets, earlier)
        history.append(Taken(made.node, made.action))
    assert len(history) <= recovery.budgets.job
    for node in "abc":
        for action in (*IN_PLACE, *RESTARTS):
            assert history.count(Taken(node, action)) <= getattr(recovery.budgets, action)


def test_all_that_fails_for_ever_fails_in_the_end() -> None:
    for recovery in (Recovery(), *(read(name) for name in ("default", "strict", "patient"))):
        for failure in (Failure("device", "x"), Failure("resource", "x"), Failure("stall", "x")):
            history: list[Taken] = []
            while (made := decide(recovery, "a", "detect/yunet", failure, history, ACTIONS)).action != "fail":
                history.append(Taken(made.node, made.action))
            assert len(history) <= recovery.budgets.job


def test_every_action_is_something_of_the_two() -> None:
    assert {*IN_PLACE, *RESTARTS, "fail"} == set(ACTIONS)


def read(name: str) -> Recovery:
    values = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    values.pop("defaults", None)
    return read_recovery(values)


def test_the_default_config_is_the_default() -> None:
    assert read("default") == Recovery()
    assert all(rule.actions == ("fail",) for rule in read("strict").rules)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"stal_seconds": 3}, "Did you mean 'stall_seconds'?"),
        ({"stall_seconds": 0}, "stall_seconds is 0.0; it is more than 0 seconds"),
        ({"segment_seconds": "ten"}, '"ten" is not a number'),
        ({"budgets": {"retry": -1}}, "retry is -1; it is 0 or more"),
        ({"budgets": {"retries": 1}}, "retries"),
        ({"backoff": {"first": 3, "most": 1}}, "first no more than most"),
        ({"backoff": {"most": 500}}, "a wait would count as a stall"),
        ({"rules": [{"error": "bug", "actions": ["retry"]}]}, '"bug" is not one of'),
        ({"rules": [{"actions": []}]}, "actions is empty"),
        ({"rules": [{"actions": ["fail", "retry"]}]}, "nothing is tried behind fail"),
        ({"rules": [{"actions": ["retry", "retry"]}]}, "names one twice"),
        ({"rules": [{"actions": ["restart"]}]}, "is not one of retry"),
        ({"rules": "none"}, "rules"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(values: dict[str, Any], says: str) -> None:
    with pytest.raises(RequestError) as told:
        read_recovery(values)
    assert says in str(told.value)
    assert "Traceback" not in str(told.value)
