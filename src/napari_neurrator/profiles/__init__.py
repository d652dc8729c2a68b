"""Which frozen models go together."""

from .profile import LanguageSpec, Profile, VisionSpec, list_profiles, load_profile

__all__ = ["LanguageSpec", "Profile", "VisionSpec", "list_profiles", "load_profile"]
