"""Networks in fewer bits: what stays in fp32, how it is converted, and how far its values reach."""
