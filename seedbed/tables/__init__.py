"""What the Delta tables hold, and how they are read and written without Spark."""
