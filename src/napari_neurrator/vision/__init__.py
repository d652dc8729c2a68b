"""What frozen CLIP sees in a frame: patch grids, their cache, and where each patch lies on the frame."""
