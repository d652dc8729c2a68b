"""A language model that runs in a vLLM server and is given projected patch grids as image embeddings.

Only the projector of the profile's LLaVA is loaded here. The server has to run the same model, with ``--enable-mm-embeds``.
"""

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from ..config import SpeakingConfig
from ..errors import NeurratorError, Stopped
from ..profiles import Profile
from ..vision.tower import loading

OnPiece = Callable[[int, str], None]
OnNotice = Callable[[str], None]
_AT_ONCE = 32
_QUIET_S = 120.0
_GREEDY = SpeakingConfig()


class VllmLanguage:
    """LLaVA without its eyes, elsewhere: does what `LanguageModel` does.

    Attributes
    ----------
    notice : str
        Empty: nothing need be told of how it reads grids.

    Parameters
    ----------
    profile : Profile
        Says which LLaVA's projector is used, and what is asked.
    address : str
        Of the server: ``vllm://host:port``, or with ``http://`` or ``https://``.
    key : str, optional
        Of the server (``--api-key``); the environment variable VLLM_API_KEY by default.

    Raises
    ------
    NeurratorError
        The projector is not on this machine, or the address is none.

    Notes
    -----
    The words round the question are those of the server's chat template, not those of the profile's prompt; the documentation shows how to start the server
    with the profile's.
    """

    notice = ""

    def __init__(self, profile: Profile, address: str, key: str | None = None):
        import os

        import httpx

        self.profile, self.address = profile, http_address(address)
        described = profile.read_json(profile.language.model, "config.json")
        if described.get("model_type") != "llava":
            raise NeurratorError(
                f"{profile.language.model!r} is a {described.get('model_type', 'model of no known type')!r}, not a LLaVA: name a LLaVA in the profile."
            )
        key = key or os.environ.get("VLLM_API_KEY")
        self._http = httpx.Client(
            base_url=self.address,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(_QUIET_S, connect=10.0),
            limits=httpx.Limits(max_connections=_AT_ONCE),
        )
        self._model: str | None = None
        with loading(profile, profile.language.model):
            self.projector, self._llava = _projector(profile)

    @property
    def n_patches(self) -> int:
        """Patches that stand for one picture."""
        vision = self._llava.vision_config
        return (vision.image_size // vision.patch_size) ** 2

    @property
    def shapes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(patches, width) of a grid, and (patches, hidden) once it is projected."""
        config = self._llava
        return (self.n_patches, config.vision_config.hidden_size), (self.n_patches, config.text_config.hidden_size)

    def batch(self, max_new_tokens: int = 60, speaking: SpeakingConfig = _GREEDY) -> int:
        """Return how many grids are sent side by side."""
        return _AT_ONCE

    @torch.inference_mode()
    def features(self, grids: torch.Tensor, on_notice: OnNotice | None = None) -> torch.Tensor:
        """Return what the server is given of patch grids, float16 (batch, patches, hidden).

        Raises
        ------
        NeurratorError
            The grids have another size than the model's, or hold what is no number.
        """
        given, projected_shape = self.shapes
        if grids.ndim != 3 or grids.shape[1:] != given:
            raise NeurratorError(
                f"The grids have shape {tuple(grids.shape[1:])}, and the language model of {self.profile.name!r} reads {given}."
            )
        weight = next(self.projector.parameters())
        projected = self.projector(grids.to(weight.device, weight.dtype)).half().cpu()
        # A wrong shape, or what is no number, can bring the server down.
        if tuple(projected.shape[1:]) != projected_shape or not torch.isfinite(projected).all():
            raise NeurratorError("The projected grids hold what is no number, so they are not sent to the vLLM server.")
        return projected

    def narrate(
        self,
        grids: torch.Tensor,
        question: str | None = None,
        max_new_tokens: int = 60,
        on_piece: OnPiece | None = None,
        should_stop: Callable[[], bool] | None = None,
        **options: Any,
    ) -> list[str]:
        """Describe patch grids; parameters and errors are those of `LanguageModel.narrate`, and NeurratorError where the server refuses or is gone."""
        features = self.features(grids)
        return self.speak(features, [question] * len(grids), max_new_tokens, on_piece, should_stop, **options)

    def speak(
        self,
        features: Sequence[torch.Tensor] | torch.Tensor,
        questions: Sequence[str | None],
        max_new_tokens: int = 60,
        on_piece: OnPiece | None = None,
        should_stop: Callable[[], bool] | None = None,
        *,
        speaking: SpeakingConfig = _GREEDY,
        seeds: Sequence[int] | None = None,
        on_notice: OnNotice | None = None,
    ) -> list[str]:
        """Answer questions, each about features of its own, sent side by side: the server batches them. As `LanguageModel.speak`.

        Raises
        ------
        NeurratorError
            The server refuses or is gone, or beams are asked for.
        Stopped
            `should_stop` said so.
        """
        if speaking.beams > 1:
            raise NeurratorError("A vLLM server follows no beams: leave --beams out, or --language.")
        own = list(seeds) if seeds is not None else [speaking.seed * 1_000_003 + n for n in range(len(questions))]
        lock, stopping = threading.Lock(), threading.Event()

        def ask(number: int) -> str:
            said = ""
            body = self.request(features[number], questions[number], max_new_tokens, speaking, own[number])
            for piece in self._stream(body):
                if stopping.is_set() or (should_stop and should_stop()):
                    stopping.set()
                    raise Stopped
                before, said = said, said + piece if said else piece.lstrip()
                if on_piece and len(said) > len(before):
                    with lock:
                        on_piece(number, said[len(before) :])
            return said.strip()

        with ThreadPoolExecutor(min(len(questions), _AT_ONCE) or 1, thread_name_prefix="vllm") as pool:
            futures = [pool.submit(ask, number) for number in range(len(questions))]
            try:
                return [future.result() for future in futures]
            except BaseException:
                stopping.set()
                for future in futures:
                    future.cancel()
                raise

    def request(
        self,
        projected: torch.Tensor,
        question: str | None,
        max_new_tokens: int,
        speaking: SpeakingConfig = _GREEDY,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Return the body that asks about one projected grid, (patches, hidden), as vLLM's chat completions take it."""
        stored = io.BytesIO()
        # One picture is a tensor of three dimensions (vLLM's documentation, "Image Embedding Inputs").
        torch.save(projected[None].clone(), stored)
        picture = {"type": "image_embeds", "image_embeds": base64.b64encode(stored.getvalue()).decode("ascii")}
        asked = {"type": "text", "text": question or self.profile.language.question}
        drawn = {"top_p": speaking.top_p, "seed": seed % (1 << 63)} if speaking.temperature else {}
        return {
            "model": self._served(),
            "messages": [{"role": "user", "content": [picture, asked]}],
            "max_tokens": max_new_tokens,
            "temperature": speaking.temperature,
            **drawn,
            "stream": True,
        }

    def _stream(self, body: dict[str, Any]) -> Iterator[str]:
        import httpx

        try:
            with self._http.stream("POST", "/v1/chat/completions", json=body) as response:
                if response.status_code != 200:
                    response.read()
                    raise NeurratorError(self._refusal(response))
                for line in response.iter_lines():
                    data = line.removeprefix("data:").strip()
                    if not line.startswith("data:"):
                        continue
                    if data == "[DONE]":
                        return
                    chunk = json.loads(data)
                    if "error" in chunk:
                        raise NeurratorError(f"The vLLM server at {self.address} failed: {str(chunk['error'])[:200]}.")
                    for choice in chunk.get("choices", [])[:1]:
                        yield choice.get("delta", {}).get("content") or ""
                raise NeurratorError(f"The vLLM server at {self.address} ended the answer early: see its log.")
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise NeurratorError(
                f"The vLLM server at {self.address} cannot be used ({str(error)[:160] or type(error).__name__}): see that it runs."
            ) from error

    def _served(self) -> str:
        """Return the name under which the server offers its model."""
        import httpx

        if self._model is None:
            try:
                response = self._http.get("/v1/models")
                if response.status_code != 200:
                    raise NeurratorError(self._refusal(response))
                self._model = str(response.json()["data"][0]["id"])
            except (httpx.HTTPError, OSError, ValueError, KeyError, IndexError, TypeError) as error:
                raise NeurratorError(
                    f"The vLLM server at {self.address} cannot be reached ({str(error)[:160]}): see that it runs."
                ) from error
        return self._model

    def _refusal(self, response: Any) -> str:
        try:
            body = response.json()
            said = body.get("error", body).get("message", "")
        except (ValueError, AttributeError):
            said = ""
        hint = " Start it with --enable-mm-embeds." if "embed" in str(said).lower() else ""
        return f"The vLLM server at {self.address} refused (status {response.status_code}): {str(said)[:200] or 'no reason given'}.{hint}"


def http_address(address: str) -> str:
    """Return the address of a vLLM server as HTTP clients need it.

    Raises
    ------
    NeurratorError
        It is none.
    """
    scheme, _, rest = address.strip().partition("://")
    host = rest.rstrip("/").removesuffix("/v1")
    if scheme not in {"vllm", "http", "https"} or not host:
        raise NeurratorError(f"--language {address!r} is no address of a vLLM server: write it as vllm://host:port.")
    return f"{'http' if scheme == 'vllm' else scheme}://{host}"


def _projector(profile: Profile) -> tuple[Any, Any]:
    """Load the projector alone, of a model that may be far too large for this machine, and the model's configuration."""
    from safetensors import safe_open
    from transformers import LlavaConfig
    from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

    config = LlavaConfig.from_pretrained(profile.locate(profile.language.model))
    projector = LlavaMultiModalProjector(config).eval()
    found: dict[str, torch.Tensor] = {}
    for file in _weight_files(profile):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():  # noqa: SIM118
                _, marker, own = name.partition("multi_modal_projector.")
                if marker:
                    found[own] = weights.get_tensor(name).float()
    missing = set(projector.state_dict()) - set(found)
    if missing:
        raise NeurratorError(
            f"{profile.language.model!r} holds no projector: {', '.join(sorted(missing))} are missing."
        )
    projector.load_state_dict(found)
    return projector, config


def _weight_files(profile: Profile) -> list[str]:
    """Return the files that hold the projector's weights."""
    model, folder = profile.language.model, profile.path_of(profile.language.model)
    try:
        index = profile.read_json(model, "model.safetensors.index.json")["weight_map"]
        names = sorted({file for tensor, file in index.items() if "multi_modal_projector." in tensor})
    except NeurratorError:
        names = ["model.safetensors"]
    if folder is not None:
        return [str(folder / name) for name in names]
    from huggingface_hub import try_to_load_from_cache

    found = [(name, try_to_load_from_cache(model, name)) for name in names]
    for name, file in found:
        if not isinstance(file, str):
            raise NeurratorError(
                f"The profile {profile.name!r} needs {name} of {model!r}, which is not on this machine: run 'hf download {model}' first."
            )
    return [str(file) for _, file in found]
