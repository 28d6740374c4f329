"""Does a node keep its contract? One call for the tests of anybody who writes one::

    from dualface.conformance import check_node

    def test_my_node():
        check_node(MyNode)

Everything is made up on the spot from the types of the node's ports; see `checks` for what is
looked at.
"""

from dualface.conformance.checks import breaches, check_node
from dualface.conformance.made_up import Batch, Scenario, make_job, scenarios

__all__ = ["Batch", "Scenario", "breaches", "check_node", "make_job", "scenarios"]
