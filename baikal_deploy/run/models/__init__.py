"""Models of the channels: as they are asked for, loaded, and chosen by what they remove."""
