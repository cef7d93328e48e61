"""What AUTOMATIC1111 means by "Automatic", since 1.9: some samplers have a schedule of their own there."""

# By canonical names; all others have even steps of the timestep, which it calls "Uniform" too.
AUTOMATIC = {
    **dict.fromkeys(
        ("dpmpp_2m", "dpmpp_sde", "dpmpp_2s_ancestral", "dpm_2", "dpm_2_ancestral", "restart"), "karras"
    ),
    **dict.fromkeys(("dpmpp_2m_sde", "dpmpp_2m_sde_heun", "dpmpp_3m_sde"), "exponential"),
}
PLAIN = "Uniform"


def plain_type(key: str) -> str:
    """What a picture calls the own spacing of a sampler, so that AUTOMATIC1111 takes it for no other schedule."""
    return PLAIN if key in AUTOMATIC else "Automatic"
