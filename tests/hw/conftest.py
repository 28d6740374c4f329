from __future__ import annotations

import sys

import pytest
from fake_nvml import Card, FakeNvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """A driver with one RTX 5090 and its libraries; change ``cards`` before probing."""
    fake = FakeNvml([Card()])
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr("dualface.hw.probe.has_library", lambda feature: True)
    return fake
