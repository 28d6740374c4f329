"""What ``--help`` prints."""

from __future__ import annotations

from dualface.actions import ACTIONS
from dualface.searchpath import groups
from dualface.settings import keys

EXAMPLES = """\
  dualface input=talk.mp4
  dualface input='clips/*.mp4' output='out/{name}.mp4' overwrite=true
  dualface action=plan hw=rtx5090 graph=solo
  dualface input=talk.mp4 graph.nodes.detect.score=0.7
  dualface -m graph.nodes.encode.crf=20,26 input=talk.mp4"""


def text() -> str:
    """The whole help."""
    lines = [
        "Two people's footage into a split-screen video.",
        "",
        "dualface [action=run] input=VIDEO [KEY=VALUE ...]",
    ]
    lines += ["", "actions:", *(f"  {name:10}{about}" for name, about in ACTIONS.items())]
    lines += ["", "keys:"]
    lines += [f"  {name + '=' + default:24}{about}" for name, default, about in keys()]
    lines += ["", "config groups:"]
    lines += [f"  {group:12}{', '.join(choices)}" for group, choices in groups().items()]
    lines += [
        "  a node's kind: node/detect@graph.nodes.detect=yunet; its options: graph.nodes.detect.score=0.7"
    ]
    lines += ["", "examples:", EXAMPLES]
    lines += [
        "",
        "-m sweeps over values given as A,B; --cfg job shows the composed config; see --hydra-help.",
    ]
    return "\n".join(lines)
