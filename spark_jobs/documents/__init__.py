"""From decisions to documents, their text, their split and their token shards."""
