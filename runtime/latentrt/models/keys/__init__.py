"""The names that other programs give the tensors of a network, there and back: tables and index arithmetic."""
