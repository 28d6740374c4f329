from dualface_motion import Motion

from dualface.conformance import check_node


def test_motion_keeps_the_contract() -> None:
    check_node(Motion)
