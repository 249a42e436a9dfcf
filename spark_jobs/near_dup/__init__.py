"""Parts of near dedup that work on Spark frames."""
