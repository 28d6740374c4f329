"""What `report.json` says of how people were told apart."""

from __future__ import annotations

from typing import Any

from dualface.nodes.reid.answers import Answers
from dualface.nodes.reid.who import Who


def told(who: Who, answers: Answers) -> dict[str, Any]:
    """The figures so far. ``reid_signals`` are the times that a track came into question, the first 10,000
    of them; ``reid_reasons`` is how often it did, by reason (`gate.REASONS`). A swap's ``delay`` is in
    frames from where it happened to where it was known; ``shown`` of them were answered before, with the
    wrong person."""
    return {
        "identities": len(answers.numbers),
        "reid_reasons": {reason: count for reason, count in who.asked.items() if count},
        "reid_signals": who.signals,
        "swaps_corrected": len(who.swaps),
        "swaps": [
            {
                "frame": swap.frame,
                "delay": swap.decided - swap.frame,
                "shown": swap.answered,
                "track": swap.track,
                "was": answers.numbers.get(swap.was),
                "is": answers.numbers.get(swap.is_),
            }
            for swap in who.swaps
        ],
    }
