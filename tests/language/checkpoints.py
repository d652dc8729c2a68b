"""Checkpoints for tests: small models, and folders laid out as the hub lays them out."""

import json

import torch
from safetensors.torch import save_file

# As it comes with llava-hf/llava-1.5-7b-hf: pictures first, then text, then the cue to answer.
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + CLOSE }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def chat_template(close=" "):
    return CHAT_TEMPLATE.replace("CLOSE", repr(close))


def hub_name(name):
    """Return the name of a weight as the checkpoints of llava-hf have it, which is older than today's modules."""
    for new, old in (
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.", ""),
    ):
        if name.startswith(new):
            return old + name[len(new) :]
    raise AssertionError(name)


def write_hub_folder(model, folder, n_shards, template):
    """Write weights and configuration in the layout of llava-hf/llava-1.5-7b-hf; the tokenizer is the caller's."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        hub_name(name): weight.half().contiguous()
        for name, weight in model.state_dict().items()
        if not (name == "lm_head.weight" and model.config.text_config.tie_word_embeddings)
    }
    names = list(weights)
    size = -(-len(names) // n_shards)
    index = {"metadata": {"total_size": sum(w.nbytes for w in weights.values())}, "weight_map": {}}
    for shard in range(n_shards):
        file = f"model-{shard + 1:05d}-of-{n_shards:05d}.safetensors"
        part = names[shard * size : (shard + 1) * size]
        save_file({name: weights[name] for name in part}, folder / file, metadata={"format": "pt"})
        index["weight_map"] |= dict.fromkeys(part, file)
    vision = model.config.vision_config
    config = json.loads(model.config.to_json_string(use_diff=False))
    config["architectures"], config["torch_dtype"] = [type(model).__name__], "float16"
    side, token = vision.image_size, "<image>"
    files = {
        "model.safetensors.index.json": index,
        "config.json": config,
        "generation_config.json": {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        "preprocessor_config.json": {
            "crop_size": {"height": side, "width": side},
            "do_center_crop": True,
            "do_convert_rgb": True,
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_processor_type": "CLIPImageProcessor",
            "image_std": [0.26862954, 0.26130258, 0.27577711],
            "processor_class": "LlavaProcessor",
            "resample": 3,
            "rescale_factor": 1 / 255,
            "size": {"shortest_edge": side},
        },
        "processor_config.json": {
            "image_token": token,
            "num_additional_image_tokens": 1,
            "patch_size": vision.patch_size,
            "processor_class": "LlavaProcessor",
            "vision_feature_select_strategy": "default",
        },
        "chat_template.json": {"chat_template": template},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    return folder


def write_profile(folder, vision, language, prompt=None, layer=-2, extra=""):
    """Write a profile.toml that names two models, and return the profile."""
    from napari_neurrator.profiles import load_profile

    folder.mkdir(parents=True, exist_ok=True)
    written = "" if prompt is None else f"prompt = {json.dumps(prompt)}\n"
    (folder / "profile.toml").write_text(
        f'name = "{folder.name}"\ndescription = "A test."\n[vision]\nmodel = {json.dumps(str(vision))}\nlayer = {layer}\n'
        f'[language]\nmodel = {json.dumps(str(language))}\nquestion = "Describe this scene in one sentence."\n{written}{extra}'
    )
    return load_profile(str(folder))


def llama_tokenizer(n_words):
    """Return a tokenizer like LLaVA-1.5's: byte fallback, spaces as ▁, `n_words` made-up words, then <image> and <pad>."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    for character in "▁" + "".join(map(chr, range(33, 127))):
        vocabulary.setdefault(character, len(vocabulary))
    while len(vocabulary) < n_words:
        vocabulary[f"▁w{len(vocabulary)}"] = len(vocabulary)
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    backend.add_special_tokens([AddedToken("<image>", special=True), AddedToken("<pad>", special=True)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def small_llava(kind="Llava", image=56, **changes):
    """Return a small random LLaVA of some kind that speaks the tiny profile's tokens."""
    import transformers

    text = {
        "model_type": "llama",
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "vocab_size": 546,
        "max_position_embeddings": 512,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "initializer_range": 0.3,
    }
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": image,
        "patch_size": 14,
        "projection_dim": 16,
        "initializer_range": 0.3,
    }
    config = getattr(transformers, f"{kind}Config")(
        vision_config=vision, text_config=text, image_token_index=3, vision_feature_layer=-2, **changes
    )
    torch.manual_seed(0)
    return getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()


def save_small(model, tiny, folder):
    """Save a small LLaVA beside the tiny profile's tokenizer."""
    from shutil import copy

    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        copy(tiny.folder / "llava" / name, folder)
    return folder
