"""The mathematics of the paper: schedules, random fields and samplers."""
