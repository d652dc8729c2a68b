"""What a frozen LLaVA says of a patch grid."""
