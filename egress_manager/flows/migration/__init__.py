"""From one fixed room to a room for each call: what is done once, from the command line."""
