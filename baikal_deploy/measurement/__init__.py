"""What is known of a channel before it is denoised."""
