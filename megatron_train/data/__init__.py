"""Token shards, their manifest, and the blend of sources that a step reads."""
