"""The steps of `dualface.graph.build`, one file each."""
