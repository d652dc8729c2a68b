"""What the user sees and does: napari layers and docks around one evented session. The only room that imports napari or Qt."""
