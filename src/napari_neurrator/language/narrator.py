"""A frozen LLaVA that is given patch grids in place of its vision tower's output."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from ..config import SpeakingConfig
from ..errors import NeurratorError, Stopped
from ..profiles import Profile
from .devices import choose_device
from .injection import generate, image_token_id, n_picture_tokens, picture_features, tiled
from .loading import load_language
from .memory import LayersOnCpu, out_of_memory, release, rows_that_fit
from .prompts import Prompts
from .sampling import SeededDraw
from .streaming import BatchStreamer, BeamStreamer, OnPiece, StopWhen, Told

OnNotice = Callable[[str], None]
ShouldStop = Callable[[], bool]

_T = TypeVar("_T")
_GREEDY = SpeakingConfig()
# A model whose configuration names no limit.
_LONG = 1 << 20


class LanguageModel:
    """LLaVA without its eyes.

    Parameters
    ----------
    profile : Profile
        Says which model and prompt.
    device : str, optional
        Where it runs; a GPU if there is one.
    dtype : str, optional
        float32, float16 or bfloat16; the profile's, else half precision on a GPU.
    quantise : str, optional
        8bit or 4bit; the profile's, else neither.
    batch : int, optional
        Sentences at once; else as many as memory allows.

    Attributes
    ----------
    notice : str
        What a user should know of the way in which this model reads patch grids; empty where there is nothing.

    Raises
    ------
    NeurratorError
        The model is missing, damaged, cannot be given patch grids, or cannot run in this way.
    """

    def __init__(
        self,
        profile: Profile,
        device: str | torch.device | None = None,
        *,
        dtype: str | None = None,
        quantise: str | None = None,
        batch: int | None = None,
    ):
        spec = profile.language
        self.profile, self.device = profile, choose_device(None if device is None else str(device))
        loaded = load_language(profile, self.device, dtype or spec.dtype, quantise or spec.quantise)
        self.model, self.tokenizer, self._quantised = loaded.model, loaded.tokenizer, loaded.quantised
        self._text = self.model.config.get_text_config()
        self._check_tower()
        # It is not asked: it stays in the CPU's memory, out of the model's own.
        self._tower, self.model.model.vision_tower = self.model.model.vision_tower, torch.nn.Identity()
        self.prompts = Prompts(
            profile,
            self.tokenizer,
            image_token_id(self.model),
            n_picture_tokens(self.model, self._side),
            getattr(self._text, "max_position_embeddings", None) or _LONG,
        )
        end = self.model.generation_config.eos_token_id
        self._end = frozenset(end if isinstance(end, list) else [] if end is None else [end])
        self.notice = self._how_it_reads()
        self._chosen_batch = batch
        self._allowed_batch: int | None = None
        self._away = LayersOnCpu(self.model.model.language_model.layers, self.device)
        self._notices: list[str] = []
        self._settle_on_device()

    @property
    def _side(self) -> int:
        vision = self.model.config.vision_config
        return vision.image_size // vision.patch_size

    @property
    def n_patches(self) -> int:
        """Patches that stand for one picture."""
        return self._side**2

    def batch(self, max_new_tokens: int = 60, speaking: SpeakingConfig = _GREEDY) -> int:
        """Return how many sentences are generated at once."""
        if self._allowed_batch is None:
            tokens = len(self.prompts.ids(None)) + max_new_tokens
            rows = rows_that_fit(self._text, tokens, self.model.dtype, self.device)
            self._allowed_batch = self._chosen_batch or rows
        return max(1, self._allowed_batch // (1 if self._chosen_batch else speaking.beams))

    # -- grids in, sentences out -----------------------------------------------------------------------------------------------------
    def narrate(
        self,
        grids: torch.Tensor,
        question: str | None = None,
        max_new_tokens: int = 60,
        on_piece: OnPiece | None = None,
        should_stop: ShouldStop | None = None,
        *,
        speaking: SpeakingConfig = _GREEDY,
        seeds: Sequence[int] | None = None,
        on_notice: OnNotice | None = None,
    ) -> list[str]:
        """Describe patch grids.

        Parameters
        ----------
        grids : torch.Tensor
            (batch, patches, width) in the space of the vision tower's chosen layer.
        question : str, optional
            What is asked; the profile's own question by default.
        max_new_tokens, on_piece, should_stop, speaking, seeds, on_notice
            As in `speak`.

        Returns
        -------
        list of str
            One sentence a grid.

        Raises
        ------
        NeurratorError
            The grids have another size than the model's, or it does not fit into memory.
        Stopped
            `should_stop` said so.
        """
        features = self.features(grids, on_notice)
        return self.speak(
            features, [question] * len(grids), max_new_tokens, on_piece, should_stop,
            speaking=speaking, seeds=seeds, on_notice=on_notice,
        )  # fmt: skip

    def features(self, grids: torch.Tensor, on_notice: OnNotice | None = None) -> torch.Tensor:
        """Return what the language model reads of patch grids; it serves for any number of questions.

        Parameters
        ----------
        grids : torch.Tensor
            (batch, patches, width).
        on_notice : callable, optional
            As in `speak`.

        Returns
        -------
        torch.Tensor
            (batch, token, hidden).

        Raises
        ------
        NeurratorError
            The grids have another size than the model's.
        """
        width = self.model.config.vision_config.hidden_size
        if grids.ndim != 3 or grids.shape[1:] != (self.n_patches, width):
            raise NeurratorError(
                f"The grids have shape {tuple(grids.shape[1:])}, and the language model of {self.profile.name!r} reads ({self.n_patches}, {width})."
            )
        with torch.inference_mode():
            parts = self._by_batch(
                len(grids), self.batch(), lambda part: picture_features(self.model, grids[part]), on_notice
            )
        return torch.cat(parts)

    def speak(
        self,
        features: Sequence[torch.Tensor] | torch.Tensor,
        questions: Sequence[str | None],
        max_new_tokens: int = 60,
        on_piece: OnPiece | None = None,
        should_stop: ShouldStop | None = None,
        *,
        speaking: SpeakingConfig = _GREEDY,
        seeds: Sequence[int] | None = None,
        on_notice: OnNotice | None = None,
    ) -> list[str]:
        """Answer questions, each about features of its own, in as few batches as memory allows.

        Parameters
        ----------
        features : sequence of torch.Tensor
            One (token, hidden) a question, as `features` gives them; the same one may stand several times.
        questions : sequence of str or None
            None is the profile's own.
        max_new_tokens : int
            Length of an answer at most.
        on_piece : callable, optional
            Called with (number of the answer, next piece of it) as the words come. With beams, the words on which all candidates agree.
        should_stop : callable, optional
            Asked after each token.
        speaking : SpeakingConfig
            How words are chosen.
        seeds : sequence of int, optional
            Where words are drawn: one a question, so that the answer does not depend on what else is asked; by default `speaking.seed` and the question's number.
        on_notice : callable, optional
            Called with a sentence for the user, where memory ran out and less is done at once.

        Returns
        -------
        list of str
            The answers.

        Raises
        ------
        NeurratorError
            A question cannot be asked, or it does not fit into memory.
        Stopped
            `should_stop` said so.
        """
        if len(features) != len(questions):
            raise ValueError(f"{len(features)} features for {len(questions)} questions")
        own = list(seeds) if seeds is not None else [speaking.seed * 1_000_003 + n for n in range(len(questions))]
        told = Told(self.tokenizer, self._end, on_piece) if on_piece else None

        def say(part: slice) -> list[str]:
            if should_stop and should_stop():
                raise Stopped
            numbers = range(len(questions))[part]
            prompt = self.prompts.batch(questions[part], max_new_tokens, self.device)
            how = self._how(speaking, own[part], max_new_tokens, numbers, told, should_stop)
            with torch.inference_mode():
                tokens = generate(self.model, prompt, features[part], max_new_tokens=max_new_tokens, **how)
            texts = self._decode(tokens)
            if told is not None:
                for number, text in zip(numbers, texts, strict=True):
                    told.settle(number, text)
            return texts

        batch = self.batch(max_new_tokens, speaking)
        # Somebody listens: the first of several batches is small, so that its words come early.
        first = batch // 4 if told is not None and len(questions) > batch else batch
        batches = self._by_batch(len(questions), batch, say, on_notice, first)
        return [text for batch in batches for text in batch]

    def narrate_pixels(
        self, pixels: torch.Tensor, question: str | None = None, max_new_tokens: int = 60, **options: Any
    ) -> torch.Tensor:
        """Describe pictures by the model's own route, through its vision tower: the reference that injection is held against.

        Parameters
        ----------
        pixels : torch.Tensor
            (batch, 3, side, side), prepared by the image processor; for LLaVA-NeXT (batch, tile, 3, side, side).
        question : str, optional
            What is asked.
        max_new_tokens : int
            Length at most.
        **options
            Passed to ``generate``.

        Returns
        -------
        torch.Tensor
            New tokens, int64 (batch, token).
        """
        prompt = self.prompts.batch([question] * len(pixels), max_new_tokens, self.device)
        inner = self.model.model
        inner.vision_tower = self._tower.to(self.device)
        try:
            with torch.inference_mode():
                out = self.model.generate(
                    **prompt,
                    pixel_values=pixels.to(self.device, self.model.dtype),
                    max_new_tokens=max_new_tokens,
                    do_sample=False,
                    **options,
                )
        finally:
            inner.vision_tower = torch.nn.Identity()
        return out[:, prompt["input_ids"].shape[1] :]

    # -- how ---------------------------------------------------------------------------------------------------------------------------
    def _how(
        self,
        speaking: SpeakingConfig,
        seeds: Sequence[int],
        max_new_tokens: int,
        numbers: Sequence[int],
        told: Told | None,
        should_stop: ShouldStop | None,
    ) -> dict[str, Any]:
        """Return the arguments of ``generate`` that say how words are chosen, heard and stopped."""
        how: dict[str, Any] = {"do_sample": False, "num_beams": speaking.beams}
        processors: list[Any] = []
        criteria: list[Any] = [StopWhen(should_stop)] if should_stop else []
        if speaking.temperature > 0:
            processors.append(SeededDraw(seeds, speaking.temperature, speaking.top_p, max_new_tokens))
        if told is not None and speaking.beams > 1:
            listener = BeamStreamer(told, numbers, speaking.beams, self._end)
            processors.append(listener)
            criteria.append(listener.ended)
        elif told is not None:
            how["streamer"] = BatchStreamer(told, numbers)
        if processors:
            how["logits_processor"] = processors
        if criteria:
            how["stopping_criteria"] = criteria
        return how

    def _decode(self, tokens: torch.Tensor) -> list[str]:
        rows = []
        for row in tokens.tolist():
            ends = [place for place, token in enumerate(row) if token in self._end]
            rows.append(row[: ends[0]] if ends else row)
        return [text.strip() for text in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]

    # -- memory ------------------------------------------------------------------------------------------------------------------------
    def _settle_on_device(self) -> None:
        """Move to the device what speaks."""
        if self._quantised:
            return
        inner = self.model.model
        while True:
            try:
                for part in (
                    inner.multi_modal_projector,
                    self.model.lm_head,
                    *self._away.at_work(inner.language_model),
                ):
                    part.to(self.device)
                if tiled(self.model):
                    inner.image_newline.data = inner.image_newline.data.to(self.device)
                return
            except Exception as error:
                if not out_of_memory(error):
                    raise
            self._make_room(0, self._notices.append)

    def _by_batch(
        self,
        n: int,
        batch: int,
        work: Callable[[slice], _T],
        on_notice: OnNotice | None,
        first: int = 0,
    ) -> list[_T]:
        """Do work on `n` rows, some at a time (`first` the first time), and on fewer at a time where memory runs out."""
        tell = on_notice or (lambda _: None)
        while self._notices:
            tell(self._notices.pop(0))
        done, results = 0, []
        while done < n:
            part = slice(done, min(done + (batch if done else first or batch), n))
            try:
                results.append(work(part))
                done = part.stop
                continue
            except Exception as error:
                if not out_of_memory(error):
                    raise
            # Here the error is gone, and with it what its frames held.
            batch = first = self._make_room(part.stop - part.start, tell)
        return results

    def _make_room(self, rows: int, tell: OnNotice) -> int:
        """Use less memory than before: fewer rows at once, then fewer layers on the device; returns the rows to do at once."""
        release(self.device)
        if rows > 1:
            # Counted in sequences: with beams, a sentence is several of them.
            self._allowed_batch = max((self._allowed_batch or rows) // 2, 1)
            tell(f"Memory ran out: {_sentences(rows // 2)} at once from here on instead of {rows}, which is slower.")
            return rows // 2
        away = self._away.send() if self._layers_can_move() else 0
        if not away:
            instead = (
                "take a smaller model"
                if self.device.type == "cpu"
                else "take fewer bits (quantise) or the CPU (device)"
            )
            raise NeurratorError(
                f"The language model of {self.profile.name!r} does not fit into the memory of {str(self.device)!r}, not even one sentence at a time: close what else uses it, or {instead}."
            )
        release(self.device)
        tell(
            f"Memory ran out: {away} of {len(self.model.model.language_model.layers)} layers work from the CPU's memory from here on, which is slow."
        )
        return 1

    def _layers_can_move(self) -> bool:
        return not self._quantised and self.device.type != "cpu"

    # -- what is checked -----------------------------------------------------------------------------------------------------------------
    def _check_tower(self) -> None:
        """Make sure that the tower's own output, as the model reads it, is patches and nothing else."""
        tower = self.model.model.vision_tower
        has_cls = any(name.endswith(("class_embedding", "cls_token")) for name, _ in tower.named_parameters())
        drops_first = self.model.config.vision_feature_select_strategy == "default"
        if has_cls != drops_first:
            raise NeurratorError(
                f"{self.profile.language.model!r} reads {'the class token beside the patches' if has_cls else 'all patches but the first'}, and a patch grid holds patches only: name another LLaVA in the profile."
            )

    def _how_it_reads(self) -> str:
        if not tiled(self.model):
            return ""
        side = self.model.config.vision_config.image_size
        if [side, side] in [list(size) for size in self.model.config.image_grid_pinpoints]:
            return ""
        return f"{self.profile.language.model!r} looks at pictures in several tiles, and a patch grid is one: it is read as a picture of {side} × {side} pixels, in less detail than this model could see."


def _sentences(n: int) -> str:
    return "1 sentence" if n == 1 else f"{n} sentences"
