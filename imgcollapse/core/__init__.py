"""Images, seeds, devices, estimates and errors; imported by every other package."""
