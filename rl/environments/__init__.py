"""What a model's answers meet: an environment tells what comes back after each of them."""
