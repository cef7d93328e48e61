"""What a network's graph costs, read off it: MACs, bytes, memory."""
