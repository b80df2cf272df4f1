"""Arrays of pixels: their types, their values, and what a user should know of them."""
