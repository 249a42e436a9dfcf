"""Pure functions over Arrow and numpy buffers. Nothing here knows of Spark, tables or settings."""
