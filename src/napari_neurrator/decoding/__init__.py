"""From the spikes of any subset of units to a patch grid."""

from .info import DecoderInfo, decoder_info, default_decoder_folder

__all__ = ["DecoderInfo", "decoder_info", "default_decoder_folder"]
