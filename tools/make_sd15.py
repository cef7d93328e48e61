"""Make a checkpoint of Stable Diffusion 1.5's size: the published configuration, random weights, a diffusers folder.

    python tools/make_sd15.py OUT [--bpe bpe_simple_vocab_16e6.txt.gz] [--dtype fp16|fp32] [--seed 0]

2.1 GB in fp16. It paints noise; it is for measuring load time, speed and memory at real size. With the vocabulary file
of OpenAI's CLIP its tokenizer is the real one; without, the folder has none.
"""

import argparse
import gzip
import sys
from pathlib import Path

from latentrt_bench.peers.sd15 import write_networks, write_tokenizer

MERGES = 48894  # of the vocabulary file's lines that CLIP uses


def read_merges(bpe: Path) -> list[str]:
    """CLIP's merges from the vocabulary file of OpenAI's CLIP (MIT)."""
    with gzip.open(bpe, "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : MERGES + 1]
    if len(merges) != MERGES:
        raise SystemExit(f"{bpe}: gives {len(merges)} merges, expected {MERGES}")
    return merges


def main() -> int:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--bpe", type=Path, help="CLIP's bpe_simple_vocab_16e6.txt.gz")
    parser.add_argument("--dtype", choices=("fp16", "fp32"), default="fp16")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    write_networks(args.out, args.seed, args.dtype, lambda message: print(message, flush=True))
    (args.out / "tokenizer").mkdir(exist_ok=True)
    if args.bpe is not None:
        write_tokenizer(args.out / "tokenizer", read_merges(args.bpe))
    return 0


if __name__ == "__main__":
    sys.exit(main())
