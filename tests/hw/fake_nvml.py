"""A pynvml that answers for cards which are not here."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    def __init__(self, value: int, text: str = "") -> None:
        self.value = value
        super().__init__(text or f"NVML error {value}")


@dataclass
class Card:
    name: str = "NVIDIA GeForce RTX 5090"
    vram_mb: int = 32607
    capability: tuple[int, int] = (12, 0)
    encoder: int | None = 100  # capacity; None: not supported
    lost: bool = False
    # What it is doing; None: the driver refuses to say
    load: int | None = 40
    decoder: int | None = 30
    encoder_load: int | None = 20
    used_mb: int = 4096
    celsius: int | None = 55
    milliwatts: int | None = 210_500
    clocks: int | None = 0  # why its clock is held down, in bits


def told(value: int | None) -> int:
    if value is None:
        raise NVMLError(3, "Not Supported")
    return value


@dataclass
class FakeNvml:
    """Stands in for the module; ``calls`` counts measurements of memory."""

    cards: list[Card] = field(default_factory=list)
    driver: str = "580.10"
    init_error: str = ""
    calls: int = 0

    NVMLError = NVMLError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ENCODER_QUERY_H264 = 0

    def nvmlInit(self) -> None:
        if self.init_error:
            raise NVMLError(9, self.init_error)

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:
        if self.cards[index].lost:
            raise NVMLError(15, "GPU is lost")
        return self.cards[index]

    def nvmlDeviceGetName(self, card: Card) -> str:
        return card.name

    def nvmlDeviceGetUUID(self, card: Card) -> str:
        return f"GPU-{self.cards.index(card)}-{card.name}"

    def nvmlSystemGetDriverVersion(self) -> str:
        return self.driver

    def nvmlDeviceGetMemoryInfo(self, card: Card) -> Any:
        self.calls += 1
        return SimpleNamespace(total=card.vram_mb << 20, used=card.used_mb << 20)

    def nvmlDeviceGetUtilizationRates(self, card: Card) -> Any:
        return SimpleNamespace(gpu=told(card.load), memory=0)

    def nvmlDeviceGetDecoderUtilization(self, card: Card) -> list[int]:
        return [told(card.decoder), 167_000]

    def nvmlDeviceGetEncoderUtilization(self, card: Card) -> list[int]:
        return [told(card.encoder_load), 167_000]

    def nvmlDeviceGetTemperature(self, card: Card, sensor: int) -> int:
        return told(card.celsius)

    def nvmlDeviceGetPowerUsage(self, card: Card) -> int:
        return told(card.milliwatts)

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, card: Card) -> int:
        return told(card.clocks)

    def nvmlDeviceGetCudaComputeCapability(self, card: Card) -> tuple[int, int]:
        return card.capability

    def nvmlDeviceGetEncoderCapacity(self, card: Card, codec: int) -> int:
        if card.encoder is None:
            raise NVMLError(3, "Not Supported")
        return card.encoder


H100 = Card("NVIDIA H100 80GB HBM3", 81559, (9, 0), encoder=100)  # what the driver really answers
