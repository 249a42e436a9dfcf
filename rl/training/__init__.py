"""What SFT, DPO and GRPO share: the loop, batches, objectives, resuming, logs and tables."""
