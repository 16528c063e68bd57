"""From a meter's registers to the energy of windows, with bounds and uncertainty."""
