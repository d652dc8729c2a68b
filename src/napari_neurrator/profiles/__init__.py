"""Which frozen models go together."""

from .profile import LanguageSpec, Profile, VisionSpec, layer_number, list_profiles, load_profile

__all__ = ["LanguageSpec", "Profile", "VisionSpec", "layer_number", "list_profiles", "load_profile"]
