"""What ``--help`` prints."""

from __future__ import annotations

from dualface.actions import ACTIONS
from dualface.searchpath import groups
from dualface.settings import GROUPS, keys

EXAMPLES = """\
  dualface input=talk.mp4
  dualface input='clips/*.mp4' output='out/{name}.mp4' overwrite=true
  dualface action=plan hw=rtx5090 graph=solo
  dualface input=talk.mp4 graph.nodes.detect.score=0.7
  dualface input=talk.mp4 +experiment=quick
  dualface input=talk.mp4 node/detect@graph.nodes.detect=yunet
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
    for group, choices in groups().items():
        sign = "" if group in GROUPS or "/" in group else "+"
        lines.append(f"  {sign + group + '=':24}{', '.join(choices)}")
    lines += [
        "  A node's kind is chosen where it stands: node/detect@graph.nodes.detect=yunet,",
        "  its options are graph.nodes.detect.score=0.7; action=nodes kind=detect/yunet lists them.",
    ]
    lines += ["", "examples:", EXAMPLES]
    lines += [
        "",
        "-m sweeps over values given as A,B; --cfg job shows the composed config; see --hydra-help.",
    ]
    return "\n".join(lines)
