"""Each model of the pipeline: its sizes, graph, check and manifest entry."""
