"""Post-training: problems, SFT, DPO, GRPO and evaluation. `python -m rl` lists the programs."""
