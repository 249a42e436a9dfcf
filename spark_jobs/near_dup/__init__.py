"""The parts of near dedup that work on Spark DataFrames."""
