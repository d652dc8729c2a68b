"""From a question to the tokens that the language model reads, with room for a picture."""

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import NeurratorError
from ..profiles import Profile


class Prompts:
    """Puts questions into a profile's prompt, or into the chat template that comes with the model.

    Parameters
    ----------
    profile : Profile
        Its language part holds the prompt, or none.
    tokenizer : PreTrainedTokenizerBase
        Of the model.
    image_token_id : int
        The token that stands for one patch.
    n_tokens : int
        How many of them a picture takes.
    max_tokens : int
        The model's context: prompt and answer together.

    Raises
    ------
    NeurratorError
        The prompt has no place for the picture, or there is neither prompt nor template.
    """

    def __init__(self, profile: Profile, tokenizer: Any, image_token_id: int, n_tokens: int, max_tokens: int):
        self.profile, self.tokenizer = profile, tokenizer
        self.n_tokens, self.max_tokens = n_tokens, max_tokens
        self.image_token_id = image_token_id
        self.image_token = str(tokenizer.convert_ids_to_tokens(image_token_id))
        self._template = None if profile.language.prompt is not None else self._chat_template()
        self._ids: dict[str, list[int]] = {}
        self.ids(None)

    def ids(self, question: str | None) -> list[int]:
        """Return the tokens of one prompt.

        Parameters
        ----------
        question : str, optional
            What is asked; the profile's own question by default.

        Raises
        ------
        NeurratorError
            The question cannot be asked.
        """
        question = question or self.profile.language.question
        if question not in self._ids:
            if len(self._ids) > 1000:
                self._ids.clear()
            self._ids[question] = self._tokenise(question)
        return self._ids[question]

    def batch(
        self, questions: Sequence[str | None], max_new_tokens: int, device: torch.device
    ) -> dict[str, torch.Tensor]:
        """Return prompts side by side, padded on the left: input_ids and attention_mask, int64 (question, token).

        Raises
        ------
        NeurratorError
            A question cannot be asked, or leaves no room for an answer.
        """
        rows = [self.ids(question) for question in questions]
        length = max(map(len, rows))
        if length + max_new_tokens > self.max_tokens:
            raise NeurratorError(
                f"The prompt takes {length} tokens and the answer up to {max_new_tokens}, and the language model of {self.profile.name!r} reads {self.max_tokens} in all: "
                "ask a shorter question, or for fewer new tokens."
            )
        pad = self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.tokenizer.eos_token_id
        ids = torch.full((len(rows), length), pad or 0, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, length - len(row) :] = torch.tensor(row)
            mask[number, length - len(row) :] = 1
        return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}

    def _tokenise(self, question: str) -> list[int]:
        if self.image_token in question:
            raise NeurratorError(
                f"The question holds {self.image_token!r}, which stands for the picture: leave it out, it is put in by itself."
            )
        text = self._text(question)
        before, _, after = text.partition(self.image_token)
        # Some templates open with the token that the tokenizer puts in front by itself.
        bos = self.tokenizer.bos_token
        opened = bool(bos) and text.startswith(bos)
        text = before + self.image_token * self.n_tokens + after
        ids = self.tokenizer(text, add_special_tokens=not opened).input_ids
        if ids.count(self.image_token_id) != self.n_tokens:
            raise NeurratorError(
                f"The tokenizer of {self.profile.language.model!r} does not know {self.image_token!r} as one token: fetch the model again."
            )
        return ids

    def _text(self, question: str) -> str:
        """Return the prompt with the image token once in it."""
        written = self.profile.language.prompt
        if written is None:
            text = self._from_template(question)
            if text.count(self.image_token) != 1:
                raise NeurratorError(
                    f"The chat template of {self.profile.language.model!r} has no place for the picture ({self.image_token}): write a prompt with {{image}} into the profile {self.profile.name!r}."
                )
            return text
        if written.count("{image}") != 1:
            raise NeurratorError(
                f"The prompt of the profile {self.profile.name!r} has to hold {{image}} exactly once, where the picture stands."
            )
        try:
            return written.format(image=self.image_token, question=question)
        except (KeyError, IndexError, ValueError) as error:
            raise NeurratorError(
                f"The prompt of the profile {self.profile.name!r} may hold {{image}} and {{question}} and no other braces: mend it in profile.toml."
            ) from error

    def _from_template(self, question: str) -> str:
        content = [{"type": "image"}, {"type": "text", "text": question}]
        try:
            return self.tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=self._template,
                add_generation_prompt=True,
                tokenize=False,
            )
        except Exception as error:
            raise NeurratorError(
                f"The chat template of {self.profile.language.model!r} cannot be filled in ({str(error)[:200]}): write a prompt with {{image}} into the profile {self.profile.name!r}."
            ) from error

    def _chat_template(self) -> str:
        """Return the template that comes with the model's processor, wherever in its folder it lies."""
        from transformers import AutoProcessor

        from ..vision.tower import loading

        model = self.profile.language.model
        with loading(self.profile, model):
            processor = AutoProcessor.from_pretrained(self.profile.locate(model))
        template = getattr(processor, "chat_template", None) or self.tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise NeurratorError(
                f"The profile {self.profile.name!r} has no prompt, and the model {model!r} comes without a chat template: write a prompt with {{image}} and {{question}} into profile.toml."
            )
        return template
