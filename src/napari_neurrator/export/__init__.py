"""Narrations taken home: tables, NWB, captioned movies, figures."""
