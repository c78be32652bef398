"""Small models of the families that people use, with random weights, saved as transformers saves models."""

from pathlib import Path
from typing import Any

import torch
import transformers as hf  # each name of it is imported when it is used, which takes seconds

SQUARE = {"height": 32, "width": 32}
SMALL: dict[str, Any] = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
}  # fmt: skip
SEES = SMALL | {"image_size": 32, "patch_size": 8}
READS = SMALL | {"vocab_size": 50, "max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2}
HEARS: dict[str, Any] = {
    "spec_size": 64, "num_mel_bins": 16, "patch_stride": [4, 4], "patch_embeds_hidden_size": 8, "hidden_size": 32,
    "depths": [1, 1, 1], "num_attention_heads": [2, 2, 2], "window_size": 4,
}  # fmt: skip

PICTURES = ("clip", "dinov2", "siglip", "vit")
SOUND = {"ast": 1.005, "clap": 1.0, "clap_fused": 1.0, "whisper": 2.0}
"""Models, and the seconds of their windows."""


def save_model(folder: Path, family: str) -> Path:
    """The model of `family` in `folder` / `family`, with what prepares its inputs; returns where."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model, preparation = globals()[f"_{family}"]()
        for weight in model.parameters():  # far from their usual start, where outputs hardly depend on inputs
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder / family)
    if preparation is not None:
        preparation.save_pretrained(folder / family)
    return folder / family


def _siglip() -> tuple[Any, Any]:
    return hf.SiglipModel(hf.SiglipConfig(vision_config=SEES, text_config=READS)), hf.SiglipImageProcessorPil(
        size=SQUARE
    )


def _clip() -> tuple[Any, Any]:
    config = hf.CLIPConfig(vision_config=SEES, text_config=READS, projection_dim=8)
    return hf.CLIPModel(config), hf.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=SQUARE)


def _dinov2() -> tuple[Any, Any]:
    config = hf.Dinov2Config(image_size=32, patch_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2)
    return hf.Dinov2Model(config), hf.BitImageProcessorPil(size={"shortest_edge": 36}, crop_size=SQUARE)


def _vit() -> tuple[Any, Any]:
    """Trained to tell classes: a pooling layer is not among its weights."""
    return hf.ViTForImageClassification(hf.ViTConfig(**SEES)), hf.ViTImageProcessorPil(size=SQUARE)


def _vit_mae() -> tuple[Any, Any]:
    return hf.ViTMAEModel(hf.ViTMAEConfig(**SEES)), hf.ViTImageProcessorPil(size=SQUARE)


def _ast() -> tuple[Any, Any]:
    config = hf.ASTConfig(**SMALL, max_length=99, num_mel_bins=32)
    return hf.ASTForAudioClassification(config), hf.ASTFeatureExtractor(max_length=99, num_mel_bins=32)


def _clap(fused: bool = False) -> tuple[Any, Any]:
    config = hf.ClapConfig(audio_config=HEARS | {"enable_fusion": fused}, text_config=READS, projection_dim=8)
    truncation = "fusion" if fused else "rand_trunc"
    return hf.ClapModel(config), hf.ClapFeatureExtractor(
        feature_size=16, sampling_rate=16_000, max_length_s=1, frequency_max=8_000, truncation=truncation
    )


def _clap_fused() -> tuple[Any, Any]:
    return _clap(fused=True)


def _wav2vec2() -> tuple[Any, Any]:
    config = hf.Wav2Vec2Config(**SMALL, conv_dim=[8] * 7, num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2)
    return hf.Wav2Vec2Model(config), hf.Wav2Vec2FeatureExtractor()


def _whisper() -> tuple[Any, Any]:
    config = hf.WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=16, vocab_size=50, max_source_positions=100,
        max_target_positions=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    return hf.WhisperModel(config), hf.WhisperFeatureExtractor(feature_size=16, chunk_length=2)


def _bert() -> tuple[Any, Any]:
    return hf.BertModel(hf.BertConfig(**READS)), None
