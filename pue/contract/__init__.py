"""What travels between the parts: wire, signatures, topology, meter profiles, quantities, marks, series."""
