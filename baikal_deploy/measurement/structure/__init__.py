"""What kind of structure a channel shows: features of a denoised estimate, and a small classifier."""
