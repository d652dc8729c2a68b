"""Train the tiny profile's CLIP and LLaVA together on the rendered corpus, and save both in Hugging Face's layout.

    python -m tools.tiny.train --corpus CORPUS --out src/napari_neurrator/profiles/tiny --steps 3000

CLIP's vision tower serves both losses (image–text contrast, and the caption's cross-entropy through LLaVA's projector and Llama), so the
tower that is saved in ``clip/`` and the one in ``llava/`` hold the same numbers, as they do in LLaVA-1.5.
"""

import argparse
import json
from pathlib import Path

import lightning as L
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn import functional as F
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from .corpus import SIDE

PROMPT = "USER: <image>\n{question}\nASSISTANT:"
QUESTIONS = {
    "caption": ("Describe this scene in one sentence.", 0.76),
    "objects": ("Which objects are there?", 0.12),
    "where": ("Where is this?", 0.12),
}
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PATCH = 8
N_PATCHES = (SIDE // PATCH) ** 2


def make_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE on the captions and the questions."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=["<image>"],
    )
    tokenizer.padding_side = "left"
    return tokenizer


def make_models(tokenizer: PreTrainedTokenizerFast) -> tuple[CLIPModel, LlavaForConditionalGeneration]:
    vision = {
        "hidden_size": 160,
        "intermediate_size": 640,
        "num_hidden_layers": 6,
        "num_attention_heads": 5,
        "hidden_act": "gelu",
        "image_size": SIDE,
        "patch_size": PATCH,
        "projection_dim": 128,
    }
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    size = len(tokenizer)
    text = dict(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        hidden_act="gelu",
        vocab_size=size,
        max_position_embeddings=64,
        projection_dim=128,
        **ids,
    )
    clip = CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=128))
    llama = LlamaConfig(
        hidden_size=160, intermediate_size=432, num_hidden_layers=3, num_attention_heads=5, num_key_value_heads=5, vocab_size=size,
        max_position_embeddings=1024, tie_word_embeddings=True, initializer_range=0.05, **ids,
    )  # fmt: skip
    llava = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=dict(vision, model_type="clip_vision_model"),
            text_config=llama,
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
            image_seq_length=N_PATCHES,
            tie_word_embeddings=True,
        )
    )
    llava.model.vision_tower = clip.vision_model
    llava.generation_config.update(
        eos_token_id=ids["eos_token_id"], pad_token_id=ids["pad_token_id"], bos_token_id=ids["bos_token_id"]
    )
    return clip, llava


class TinyTraining(L.LightningModule):
    """Contrast and captioning over one shared vision tower."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, steps: int, rate: float):
        super().__init__()
        self.tokenizer, self.steps, self.rate = tokenizer, steps, rate
        self.clip, self.llava = make_models(tokenizer)
        self.register_buffer("pixel_mean", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("pixel_std", torch.tensor(STD)[:, None, None])
        self.register_buffer("grid_mean", torch.zeros(N_PATCHES, 160))

    def encode(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = (images.permute(0, 3, 1, 2).float() / 255 - self.pixel_mean) / self.pixel_std
        out = self.clip.vision_model(pixel_values=pixels, output_hidden_states=True)
        return out.hidden_states[-2][:, 1:], self.clip.visual_projection(out.pooler_output)

    def disturb(self, patches: torch.Tensor) -> torch.Tensor:
        """Shrink part of the grids towards the mean grid and add noise, so that imperfect grids are narrated sensibly too."""
        with torch.no_grad():
            self.grid_mean.lerp_(patches.mean(0), 0.02)
            spread = (patches - self.grid_mean).std()
        n = patches.shape[0]
        chosen = (torch.rand(n, 1, 1) < 0.35) & torch.tensor(self.global_step > 0.25 * self.steps)
        shrink = torch.where(chosen, 0.55 + 0.45 * torch.rand(n, 1, 1), torch.ones(n, 1, 1))
        noise = torch.where(chosen, 0.5 * torch.rand(n, 1, 1), torch.zeros(n, 1, 1)) * spread
        return self.grid_mean + (patches - self.grid_mean) * shrink + noise * torch.randn_like(patches)

    def training_step(self, batch: dict, _: int) -> torch.Tensor:
        patches, pooled = self.encode(batch["images"])
        words = self.tokenizer(
            [c + "</s>" for c in batch["captions"]], padding=True, padding_side="right", return_tensors="pt"
        )
        text = self.clip.text_projection(self.clip.text_model(**words).pooler_output)
        logits = self.clip.logit_scale.exp().clamp(max=100) * F.normalize(pooled, dim=-1) @ F.normalize(text, dim=-1).T
        same = torch.tensor([[float(a == b) for b in batch["captions"]] for a in batch["captions"]])
        target = same / same.sum(1, keepdim=True)
        contrast = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
        caption = self.narration_loss(self.disturb(patches), batch["question"], batch["answers"])
        self.log_dict({"contrast": contrast, "caption": caption}, prog_bar=True)
        if self.global_step % 25 == 0:
            print(
                f"step {self.global_step} caption {caption.item():.4f} contrast {contrast.item():.4f}",
                flush=True,
            )
        return caption + 0.3 * contrast

    def narration_loss(self, patches: torch.Tensor, question: str, answers: list[str]) -> torch.Tensor:
        model, n = self.llava.model, patches.shape[0]
        before, after = PROMPT.format(question=question).split("<image>")
        embed = model.language_model.get_input_embeddings()
        head = embed(self.tokenizer(before, return_tensors="pt").input_ids).expand(n, -1, -1)
        tail_ids = self.tokenizer(after, add_special_tokens=False, return_tensors="pt").input_ids
        tail = embed(tail_ids).expand(n, -1, -1)
        words = self.tokenizer(
            [f" {a}</s>" for a in answers],
            add_special_tokens=False,
            padding=True,
            padding_side="right",
            return_tensors="pt",
        )
        inputs = torch.cat([head, model.multi_modal_projector(patches), tail, embed(words.input_ids[:, :-1])], dim=1)
        hidden = model.language_model(inputs_embeds=inputs).last_hidden_state[:, -words.input_ids.shape[1] :]
        labels = words.input_ids.masked_fill(words.attention_mask == 0, -100)
        return F.cross_entropy(self.llava.lm_head(hidden).flatten(0, 1), labels.flatten())

    def configure_optimizers(self):
        decay = [p for p in self.parameters() if p.ndim >= 2]
        rest = [p for p in self.parameters() if p.ndim < 2]
        optimizer = torch.optim.AdamW(
            [{"params": decay, "weight_decay": 0.03}, {"params": rest, "weight_decay": 0.0}],
            betas=(0.9, 0.98),
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.rate, total_steps=self.steps + 1, pct_start=0.06, final_div_factor=50
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class Batches(torch.utils.data.IterableDataset):
    """Random batches; every batch asks one question."""

    def __init__(self, corpus: Path, size: int, seed: int):
        self.images = np.load(corpus / "images.npy", mmap_mode="r")
        self.items = [json.loads(line) for line in (corpus / "items.jsonl").read_text(encoding="utf-8").splitlines()]
        self.size, self.seed = size, seed

    def __iter__(self):
        rng = np.random.default_rng(self.seed)
        kinds, weights = list(QUESTIONS), [w for _, w in QUESTIONS.values()]
        while True:
            order = rng.permutation(len(self.images))
            for start in range(0, len(order) - self.size + 1, self.size):
                rows = np.sort(order[start : start + self.size])
                kind = rng.choice(kinds, p=weights)
                yield {
                    "images": torch.from_numpy(self.images[rows]),
                    "captions": [self.items[r]["caption"] for r in rows],
                    "question": QUESTIONS[kind][0],
                    "answers": [self.items[r][kind] for r in rows],
                }


def save(training: TinyTraining, out: Path) -> None:
    """Write ``clip/`` and ``llava/`` in half precision."""
    tokenizer = training.tokenizer
    image_processor = CLIPImageProcessor(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    clip = training.clip.half()
    llava = training.llava.half()
    clip.save_pretrained(out / "clip")
    llava.save_pretrained(out / "llava")
    tokenizer.save_pretrained(out / "clip")
    image_processor.save_pretrained(out / "clip")
    LlavaProcessor(
        image_processor,
        tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
    ).save_pretrained(out / "llava")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1.2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="go on from the clip/ and llava/ in this folder")
    parser.add_argument("--checkpoints", type=Path, required=True)
    arguments = parser.parse_args()
    L.seed_everything(arguments.seed)
    batches = Batches(arguments.corpus, arguments.batch, arguments.seed)
    texts = [item["caption"] for item in batches.items[:20_000]]
    texts += [item["objects"] for item in batches.items[:5_000]]
    texts += [" " + item["caption"] for item in batches.items[:20_000]]
    texts += [PROMPT.format(question=question).replace("<image>", "") for question, _ in QUESTIONS.values()] * 500
    training = TinyTraining(make_tokenizer(texts), arguments.steps, arguments.rate)
    if arguments.start:
        training.clip.load_state_dict(
            CLIPModel.from_pretrained(arguments.start / "clip", dtype=torch.float32).state_dict()
        )
        llava = LlavaForConditionalGeneration.from_pretrained(arguments.start / "llava", dtype=torch.float32)
        training.llava.load_state_dict(llava.state_dict())
    trainer = L.Trainer(
        max_steps=arguments.steps, accelerator="auto", logger=False, gradient_clip_val=1.0, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[L.pytorch.callbacks.ModelCheckpoint(arguments.checkpoints, every_n_train_steps=250, save_last=True, save_weights_only=True)],
    )  # fmt: skip
    trainer.fit(training, torch.utils.data.DataLoader(batches, batch_size=None))
    save(training, arguments.out)


if __name__ == "__main__":
    main()
