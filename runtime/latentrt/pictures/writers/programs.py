"""The programs whose texts are read: what each means where its text is silent."""

from latentrt.pictures.writers.writer import Writer

LATENTRT = Writer("latentrt", "diffusers", "cpu")

# AUTOMATIC1111 and those that grew out of it draw noise as torch does on CUDA, unless they say otherwise.
AUTOMATIC1111 = Writer("AUTOMATIC1111", "a1111", "nv", "a1111", ramps=True, automatic=True, strength=False)
FORGE = Writer("Forge", "forge", "nv", "a1111", ramps=True, automatic=True)
FORGE_NEO = Writer("Forge Neo", "forge", "nv", "a1111", ramps=True, automatic=True)

SD_NEXT = Writer(
    "SD.Next",
    "diffusers",
    "cpu",
    "a1111",
    aliases={
        "Hires scale": "Hires upscale",
        "Hires fixed": "Hires resize",
        "Hires strength": "Denoising strength",
        "Hires CFG scale": "Hires CFG Scale",
        "Variation strength": "Variation seed strength",
        "Sampler eta delta": "ENSD",
    },
    # "Hires size" is what came of the scale.
    harmless=frozenset(
        {
            "Hires size",
            "Operations",
            "Pipeline",
            "Refine",
            "Grid",
            "Index",
            "Batch",
            "HiRes mode",
            "Hires force",
        }
    ),
)
STABLE_DIFFUSION_CPP = Writer(
    "stable-diffusion.cpp",
    "a1111",
    "nv",
    "a1111",
    ramps=True,
    # Guidance is that of models which take it in as a number, and are none of ours.
    harmless=frozenset({"Guidance", "Unet", "TE"}),
)
FOOOCUS = Writer(
    "Fooocus",
    "comfyui",
    "cpu",
    "comfyui",
    ramps=True,
    harmless=frozenset({"Performance", "Raw prompt", "Raw negative prompt", "User", "Fooocus V2 Expansion"}),
)
SWARM_UI = Writer("SwarmUI", "comfyui", "cpu", "swarmui", ramps=True)
INVOKE_AI = Writer("InvokeAI", "diffusers", "cpu", "compel")
EASY_DIFFUSION = Writer("Easy Diffusion", grammar="a1111")
NOVEL_AI = Writer("NovelAI", grammar="novelai", ramps=True)
CIVITAI = Writer(
    "civitai's generator",
    "comfyui",
    "cpu",
    "comfyui",
    ramps=True,
    strength=False,
    harmless=frozenset({"Created Date", "Civitai metadata"}),
)
DRAW_THINGS = Writer("Draw Things", grammar="a1111")
COMFY_UI = Writer(
    "ComfyUI",
    "comfyui",
    "cpu",
    "comfyui",
    ramps=True,
    strength=False,
    harmless=frozenset({"Civitai metadata", "Created Date"}),
)

# Of texts in AUTOMATIC1111's form by programs that are not known.
ANOTHER = Writer("another program", "", "", "a1111", ramps=True, strength=False)

WRITERS = (
    LATENTRT,
    AUTOMATIC1111,
    FORGE,
    FORGE_NEO,
    SD_NEXT,
    STABLE_DIFFUSION_CPP,
    FOOOCUS,
    SWARM_UI,
    INVOKE_AI,
    EASY_DIFFUSION,
    NOVEL_AI,
    CIVITAI,
    DRAW_THINGS,
    COMFY_UI,
)
