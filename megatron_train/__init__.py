"""Pretraining on megatron-core. Meets the rest of Seedbed only through storage: token shards in, checkpoints and HF folders out."""
