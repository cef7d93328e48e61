"""What follows from the rows of `bench model`, from rows with made-up numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentrt_bench.model.derive import derive_row, picture_calls, picture_parts
from latentrt_bench.report import Measurement, Row

seconds = st.floats(1e-4, 1e3)
DTYPES = dict.fromkeys(("text_encoder", "unet", "unet_guided", "vae_encoder", "vae_decoder"), "fp32")


def taken(*rounds: float, **others) -> Measurement:
    return Measurement(rounds=[[one] for one in rounds], **others)


def a_row(measurements, guidance_scale=7.5, batch=1, evaluations=20, stages=None) -> Row:
    return Row(
        "64x64 batch 1 cpu fp32",
        {"batch": batch, "provider": "cpu", "guidance_scale": guidance_scale},
        measurements,
        {
            "dtypes": DTYPES,
            "runs": {"unet": 1, "vae_decoder": 4},
            "evaluations": {"ddim": evaluations},
            "picture_stages": {} if stages is None else {"ddim": stages},
        },
    )


@given(
    st.lists(st.tuples(seconds, seconds, seconds, st.floats(0, 10)), min_size=1, max_size=5),
    st.sampled_from([1.0, 7.5]),
)
def test_shares_of_a_measured_picture(calls, guidance_scale):
    """Each call: text encoder, UNet, decoder, and what is beside them."""
    names = ("text_encoder", "unet", "vae_decoder")
    stages = [dict(zip(names, call, strict=False)) | {"load": 0.0, "total": sum(call[:3])} for call in calls]
    row = a_row({"picture:ddim": taken(*map(sum, calls))}, guidance_scale=guidance_scale, stages=stages)
    found = derive_row(row, {})
    shares = found["shares"]
    assert math.isclose(sum(shares.values()), 1, rel_tol=1e-12)
    whole = sum(map(sum, calls))
    unet = "unet_guided" if guidance_scale > 1 else "unet"
    assert set(shares) == {"text_encoder", unet, "vae_decoder", "other"}
    assert shares[unet] == pytest.approx(sum(call[1] for call in calls) / whole, rel=1e-12)
    assert shares["vae_decoder"] == pytest.approx(sum(call[2] for call in calls) / whole, rel=1e-12)
    assert shares["other"] == pytest.approx(sum(call[3] for call in calls) / whole, abs=1e-12)
    assert found["shares_by_sampler"] == {"ddim": shares}


def test_loading_is_a_share_where_it_is_part_of_every_picture():
    stages = [{"load": 2.0, "text_encoder": 1.0, "unet": 4.0, "vae_decoder": 1.0, "total": 8.0}]
    shares = derive_row(a_row({"picture:ddim": taken(10.0)}, stages=stages), {})["shares"]
    assert shares == pytest.approx(
        {"load": 0.2, "text_encoder": 0.1, "unet_guided": 0.4, "vae_decoder": 0.1, "other": 0.2}
    )


def test_a_predicted_picture_is_the_sum_of_its_stages():
    stages = {
        "text_encoder": taken(1.0, 2.0, 9.0),
        "unet": taken(3.0),
        "unet_guided": taken(5.0),
        "vae_decoder": taken(8.0),
    }
    row = a_row(stages | {"picture:ddim": Measurement("predicted", predicted_s=110.0)})
    assert picture_parts(row, "ddim") == {"text_encoder": 2.0, "unet_guided": 100.0, "vae_decoder": 8.0}
    assert picture_calls(row, "ddim") == {"text_encoder": 1, "unet_guided": 20, "vae_decoder": 1}
    found = derive_row(row, {})
    assert found["shares"] == pytest.approx(
        {"text_encoder": 2 / 110, "unet_guided": 100 / 110, "vae_decoder": 8 / 110}
    )
    assert found["pictures_per_minute"] == {"ddim": pytest.approx(60 / 110)}
    unguided = a_row(stages, guidance_scale=1.0)
    assert picture_parts(unguided, "ddim") == {"text_encoder": 2.0, "unet": 60.0, "vae_decoder": 8.0}


@pytest.mark.parametrize("lost", ["text_encoder", "unet_guided", "vae_decoder"])
def test_nothing_follows_from_a_stage_that_failed(lost):
    stages = {"text_encoder": taken(1.0), "unet_guided": taken(5.0), "vae_decoder": taken(8.0)}
    row = a_row(
        stages | {lost: Measurement("failed", reason="x"), "picture:ddim": Measurement("failed", reason="x")}
    )
    assert picture_parts(row, "ddim") is None
    assert derive_row(row, {}) == {
        "name": row.name, "shares": {}, "shares_by_sampler": {}, "pictures_per_minute": {}, "roofline": [],
    }  # fmt: skip


@given(st.integers(1, 64), st.lists(seconds, min_size=1, max_size=5))
def test_pictures_a_minute(batch, rounds):
    picture = taken(*rounds)
    row = a_row({"picture:ddim": picture, "picture:euler": taken()}, batch=batch)
    assert derive_row(row, {})["pictures_per_minute"] == {"ddim": pytest.approx(60 * batch / picture.seconds)}


@given(
    st.floats(1e9, 1e14),
    st.floats(1e9, 1e13),
    st.integers(0, 10**8),
    st.integers(1, 10**13),
    st.integers(1, 10**10),
    seconds,
    st.sampled_from([("unet", 1), ("vae_decoder", 4)]),
)
def test_the_roofline(macs_per_s, bytes_per_s, cached, macs, least, duration, stage):
    name, runs = stage
    ceiling = {"macs_per_s": macs_per_s, "bytes_per_s": bytes_per_s, "cache_bytes": cached}
    row = a_row({name: taken(duration, macs=macs, bytes_least=least, bytes_moved=3 * least)})
    (point,) = derive_row(row, {"cpu fp32": ceiling})["roofline"]
    # seconds: neither limit can be passed
    fastest_possible = max(macs / macs_per_s, max(0, least - runs * cached) / bytes_per_s)
    assert point["what"] == name
    assert point["macs_per_s"] == pytest.approx(macs / duration)
    assert point["fraction"] == pytest.approx(fastest_possible / duration, rel=1e-9)
    assert point["limit_macs_per_s"] == pytest.approx(macs / fastest_possible, rel=1e-9)
    assert point["intensity"] == pytest.approx(3 * point["intensity_moved"])


def test_no_point_without_its_limit_or_its_work():
    measurements = {
        "unet": taken(1.0),
        "vae_decoder": taken(1.0, macs=5, bytes_least=1),
        "text_encoder": Measurement("failed", reason="x", macs=5, bytes_least=1),
    }
    other = {"cuda fp16": {"macs_per_s": 1.0, "bytes_per_s": 1.0, "cache_bytes": 0}}
    assert derive_row(a_row(measurements), other)["roofline"] == []
    ceilings = {"cpu fp32": {"macs_per_s": 50.0, "bytes_per_s": 2.0, "cache_bytes": 0}}
    (point,) = derive_row(a_row(measurements), ceilings)["roofline"]
    assert (point["what"], point["limit_macs_per_s"], point["fraction"]) == ("vae_decoder", 10.0, 0.5)
