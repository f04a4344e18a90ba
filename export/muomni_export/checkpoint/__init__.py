"""What people bring: finding, reading and naming the weights of a checkpoint."""
