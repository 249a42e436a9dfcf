"""Pure functions over Arrow and numpy buffers, without Spark, tables or settings."""
