"""Narrations a second beside the paper's own loop, as a ratio in one run; when the first word comes; part of ``make benchmark``.

The paper's loop (method of arXiv 2606.18667, its released code): one frame at a time, a black picture through the processor to lay out the prompt, the vision
tower's ``forward`` replaced by one that returns the grid, ``generate`` greedily with 60 new tokens. Both sides run the same weights on the same device in the
same precision, take turns, and have to say the same.

With a GPU the same is measured at LLaVA-1.5-7B's true shape, with random weights: they say nothing, but take the same time.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch

from napari_neurrator.language.loading import LoadedLanguage
from napari_neurrator.language.narrator import LanguageModel
from napari_neurrator.profiles import Profile, load_profile

QUESTIONS = ["Describe this scene in one sentence.", "Which objects are there?", "Where is this?"]
LENGTH = 60


class PaperLoop:
    """One frame at a time, past the vision tower."""

    def __init__(self, language: LanguageModel, processor, prompt: str):
        self.language, self.processor, self.prompt = language, processor, prompt
        side = language.model.config.vision_config.image_size
        self.black = np.zeros((side, side, 3), dtype=np.uint8)

    def __call__(self, grids: torch.Tensor) -> list[str]:
        """Return one sentence a grid."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        model, tower = self.language.model, self.language._tower.to(self.language.device)
        model.model.vision_tower = tower
        own, said = tower.forward, []
        depth = model.config.vision_config.num_hidden_layers + 1
        try:
            for grid in grids:
                inputs = self.processor(images=self.black, text=self.prompt, return_tensors="pt")
                inputs = inputs.to(self.language.device, model.dtype)
                state = torch.cat([torch.zeros_like(grid[:1]), grid])[None].to(self.language.device, model.dtype)
                output = BaseModelOutputWithPooling(
                    last_hidden_state=state, pooler_output=state[:, 0], hidden_states=(state,) * depth
                )
                tower.forward = lambda *_, output=output, **__: output
                with torch.no_grad():
                    tokens = model.generate(**inputs, max_new_tokens=LENGTH, do_sample=False)
                new = tokens[0, inputs["input_ids"].shape[1] :]
                said.append(self.processor.decode(new, skip_special_tokens=True).strip())
        finally:
            tower.forward = own
            model.model.vision_tower = torch.nn.Identity()
        return said


def seconds(work: Callable[[], Any], device: torch.device) -> tuple[float, Any]:
    began = time.perf_counter()
    done = work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, done


def first_and_whole(language: LanguageModel, grids: torch.Tensor) -> tuple[float, float]:
    heard: list[float] = []
    began = time.perf_counter()
    language.narrate(grids, None, LENGTH, lambda *_: heard.append(time.perf_counter() - began))
    return heard[0], time.perf_counter() - began


def measure(name: str, language: LanguageModel, paper: PaperLoop, grids: torch.Tensor, rounds: int, few: int) -> None:
    """Print the rows of one model; the paper's loop takes `few` of the grids a round, its time is linear in them."""
    device, n = language.device, len(grids)
    paper(grids[:1])
    language.narrate(grids[:2], None, LENGTH)
    ratios, ours, theirs, prompts, firsts, ones = [], [], [], [], [], []
    for turn in range(rounds):
        start = turn * few % (n - few + 1)
        slow, said = seconds(partial(paper, grids[start : start + few]), device)
        fast, same = seconds(lambda: language.narrate(grids, None, LENGTH), device)
        assert same[start : start + few] == said or device.type == "cuda", "both have to say the same"
        features = language.features(grids)
        asked = [(row, question) for question in QUESTIONS for row in range(n)]
        several, _ = seconds(
            partial(language.speak, [features[row] for row, _ in asked], [question for _, question in asked], LENGTH),
            device,
        )
        theirs.append(slow / few)
        ours.append(fast / n)
        ratios.append(theirs[-1] / ours[-1])
        prompts.append(theirs[-1] / (several / len(asked)))
        first, whole = first_and_whole(language, grids)
        firsts.append(first / whole)
        ones.append(first_and_whole(language, grids[:1])[0])
    middle = statistics.median
    print(f"| {name}, the paper's loop, a narration | {middle(theirs) * 1e3:.1f} ms | | |")
    print(
        f"| {name}, {n} frames in batches of {language.batch()}, a narration | {middle(ours) * 1e3:.1f} ms | **{middle(ratios):.1f} ×** ({min(ratios):.1f} … {max(ratios):.1f}) | {'≥ 6 ×' if device.type == 'cuda' else '≥ 2 ×'} |"
    )
    print(f"| the same with {len(QUESTIONS)} questions a frame | | {middle(prompts):.1f} × | |")
    print(f"| first word of those {n} | {middle(firsts):.1%} of the whole | | < 10 % |")
    print(f"| first word of one frame alone | {middle(ones) * 1e3:.1f} ms | | |", flush=True)


def tiny_grids(profile: Profile, n: int) -> torch.Tensor:
    from napari_neurrator.recording.sample.scenery import PLACES, Actor, Scenery
    from napari_neurrator.vision.tower import VisionTower

    kinds = ["tiger", "bus", "penguin", "balloon", "house", "bee", "owl", "cactus"]
    frames = [
        Scenery(PLACES[i % len(PLACES)], i % 2 == 1, i, (192, 144)).render(0.5, [Actor(kinds[i % 8], 0.5, 0.8, 0.4)])
        for i in range(n)
    ]
    return VisionTower(profile).grids(np.stack(frames))


def prompt_of(profile: Profile) -> str:
    """Return what the paper's loop asks, with the placeholder of its processor."""
    template = profile.language.prompt
    assert template is not None
    return template.format(image="<image>", question=profile.language.question)


def measure_tiny(n: int, rounds: int) -> None:
    from transformers import AutoProcessor

    profile = load_profile("tiny")
    language = LanguageModel(profile, "cpu")
    processor = AutoProcessor.from_pretrained(profile.locate(profile.language.model))
    prompt = prompt_of(profile)
    measure("`tiny`", language, PaperLoop(language, processor, prompt), tiny_grids(profile, n), rounds, max(n // 8, 4))


def measure_seven_b(device: str, n: int, rounds: int, narrow: bool) -> None:
    """Measure LLaVA-1.5-7B's shape with random weights; `narrow` shrinks it, to try this code where there is no GPU."""
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    words = ["<unk>", "<s>", "</s>", "USER", ":", "ASSISTANT", *(f"w{number}" for number in range(31994))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens([AddedToken("<image>", special=True), AddedToken("<pad>", special=True)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )
    vision: dict[str, Any] = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_attention_heads": 16,
        "num_hidden_layers": 24,
    }
    text: dict[str, Any] = {
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
    }
    if narrow:
        vision = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_hidden_layers": 2}
        text = {"hidden_size": 128, "intermediate_size": 256, "num_attention_heads": 4, "num_hidden_layers": 2}
    vision |= {"model_type": "clip_vision_model", "image_size": 336, "patch_size": 14, "projection_dim": 768}
    text |= {"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096}
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=32000,
        vision_feature_layer=-2,
        pad_token_id=32001,  # type: ignore[call-arg]
    )
    dtype = torch.float32 if device == "cpu" else torch.float16
    with torch.device("meta"):
        model: torch.nn.Module = LlavaForConditionalGeneration(config)
        model = model.to(dtype)
    model = model.to_empty(device=device).eval()
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    # Made empty, so filled in anew: the frequencies of the positions, the numbers of the patches.
    for module in model.modules():
        for key, buffer in list(module.named_buffers(recurse=False)):
            if key.endswith("inv_freq"):
                size = 2 * buffer.shape[0]
                buffer.copy_(1e4 ** (-torch.arange(0, size, 2, device=device) / size))
            elif key == "position_ids":
                buffer.copy_(torch.arange(buffer.shape[-1], device=device)[None])
    profile = load_profile("llava-1.5-7b")
    loaded = LoadedLanguage(model, tokenizer)
    with mock.patch("napari_neurrator.language.narrator.load_language", return_value=loaded):
        language = LanguageModel(profile, device)
    images = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    processor = LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    prompt = prompt_of(profile)
    grids = torch.randn(n, 576, vision["hidden_size"])
    name = "7B's way, shrunk" if narrow else f"LLaVA-1.5-7B's shape on {torch.cuda.get_device_name(device)}"
    measure(name, language, PaperLoop(language, processor, prompt), grids, rounds, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--narrow", action="store_true", help="try the way of the 7B shape, shrunk, on the CPU")
    arguments = parser.parse_args()
    print("| what | time | beside the paper's loop | aim |\n|---|---|---|---|", flush=True)
    if arguments.narrow:
        measure_seven_b("cpu", 4, 1, narrow=True)
        return
    measure_tiny(arguments.frames, arguments.rounds)
    if torch.cuda.is_available():
        measure_seven_b("cuda", 128, 2, narrow=False)
    else:
        print("\nNo GPU is at hand: LLaVA-1.5-7B's shape was not measured.")


if __name__ == "__main__":
    main()
