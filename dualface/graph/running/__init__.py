"""The parts of `dualface.graph.execute`, one file each."""
