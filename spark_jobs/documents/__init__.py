"""The text, the split and the token shards of documents."""
