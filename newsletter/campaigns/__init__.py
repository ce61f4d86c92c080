"""Writing and aiming: what an operator wrote, checked when it is handed in, made out to each reader when it is sent."""
