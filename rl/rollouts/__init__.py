"""From a problem to a reward: prompts, samples of the policy, verdicts, and what is selected."""
