//! Laws of eleven models on MIG instances of an A100 80 GB, PyTorch eager.
