"""Post-training: SFT, GRPO, evaluation, and the sandbox that scores programs."""
