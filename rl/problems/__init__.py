"""Problems with unit tests: files, tables, and generated ones."""
