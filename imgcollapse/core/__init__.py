"""The ground floor: images, seeds, the archive, devices, and what the rooms promise each other."""
