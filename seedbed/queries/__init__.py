"""Questions to the tables of a run. Nothing here starts Spark."""
