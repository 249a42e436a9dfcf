"""What SFT, DPO and GRPO share: batches, objectives, resume, logs and tables."""
