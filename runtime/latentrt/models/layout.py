"""The names by which a diffusers folder, or a bundle, keeps what is read of it: nothing else of it counts."""

from pathlib import Path, PurePosixPath

INDEX = "model_index.json"
ADVICE = "generation_config.json"
SCHEDULER_CONFIG = Path("scheduler", "scheduler_config.json")
LOW_RES_CONFIG = Path("low_res_scheduler", "scheduler_config.json")  # of an upscaler, of its small picture
CONFIG = "config.json"  # of a network
TEXT_ENCODERS = ("text_encoder", "text_encoder_2")  # in the order in which the UNet is given what they say
TOKENIZER_FOLDERS = ("tokenizer", "tokenizer_2")
TOKENIZER_FILES = (
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# A checkpoint holds both halves of the autoencoder in one; the other networks are in folders of their own names.
CHECKPOINT_FOLDERS = {"vae_encoder": "vae", "vae_decoder": "vae"}
# `vae` of a checkpoint, both its halves of a bundle; `taesd` for previews, where there is one.
NETWORK_FOLDERS = (*TEXT_ENCODERS, "unet", "vae", "vae_encoder", "vae_decoder", "taesd")


def is_known(name: str) -> bool:
    """Whether a file of a model, by its path in it with `/`, is one that is read; weights and graphs aside."""
    path = PurePosixPath(name)
    if len(path.parts) == 1:
        return name in (INDEX, ADVICE)
    if len(path.parts) != 2:
        return False
    folder, file = path.parts
    return (
        (folder in TOKENIZER_FOLDERS and file in TOKENIZER_FILES)
        or (folder in NETWORK_FOLDERS and file == CONFIG)
        or path in (PurePosixPath(SCHEDULER_CONFIG), PurePosixPath(LOW_RES_CONFIG))
    )
