"""What is learned: activations, teacher, population loss, sampled loss, landscape."""
