"""Words of the options that say who runs the models."""

BACKEND_HELP = "Who runs the models: the address of a 'neurrator serve', or 'local' for processes of their own; this process by default."
TOKEN_HELP = "Token of that server, or @FILE that holds it; the environment variable NEURRATOR_TOKEN by default."
CA_HELP = "Certificate that the server's is signed by, PEM, where the system does not know it."
LANGUAGE_HELP = "vLLM server for the language model, with the rest run here: vllm://host:port."
