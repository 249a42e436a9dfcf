"""Problems with unit tests: generated, or read from files and tables."""
