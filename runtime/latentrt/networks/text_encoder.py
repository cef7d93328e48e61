"""CLIP's text encoders, from their config.json to an ONNX graph."""

import numpy as np

from latentrt.networks.emitter import Emitter
from latentrt.networks.graph import Graph
from latentrt.networks.layers import attention, layer_norm, linear
from latentrt.networks.options import Options
from latentrt.networks.proto import FLOAT, INT64
from latentrt.networks.variant import Variant

LEGACY_EOS = 2  # transformers' wrong default before 4.31: the end of text is then the highest id instead

# Settings of training, of storage, and of generating text, which every version of transformers adds to the others'.
_IRRELEVANT = (
    "add_cross_attention", "assistant_confidence_threshold", "assistant_early_exit",
    "assistant_ensemble_weight", "assistant_lookbehind", "attention_dropout", "attn_implementation",
    "bad_words_ids", "begin_suppress_tokens", "bos_token_id", "cache_config", "cache_implementation",
    "chunk_size_feed_forward", "compile_config", "constraints", "continuous_batching_config",
    "cross_attention_hidden_size", "decoder_start_token_id", "disable_compile", "diversity_penalty",
    "do_sample", "dola_layers", "dropout", "dtype", "early_stopping", "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty", "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty",
    "finetuning_task", "force_words_ids", "forced_bos_token_id", "forced_eos_token_id",
    "gradient_checkpointing", "guidance_scale", "id2label", "initializer_factor", "initializer_range",
    "is_assistant", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty", "low_memory",
    "max_cache_len", "max_length", "max_matching_ngram_size", "max_new_tokens", "max_time", "min_length",
    "min_new_tokens", "min_p", "no_repeat_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule",
    "num_beam_groups", "num_beams", "num_labels", "num_return_sequences", "output_attentions",
    "output_hidden_states", "output_logits", "output_scores", "pad_token_id", "penalty_alpha",
    "prefill_chunk_size", "prefix", "problem_type", "projection_dim", "prompt_lookup_num_tokens",
    "remove_invalid_values", "renormalize_logits", "repetition_penalty", "return_dict",
    "return_dict_in_generate", "sep_token_id", "sequence_bias", "speculation_type", "stop_strings",
    "suppress_tokens", "target_lookbehind", "task_specific_params", "temperature", "tf_legacy_loss",
    "tie_encoder_decoder", "tie_word_embeddings", "token_healing", "tokenizer_class", "top_h", "top_k", "top_p",
    "torch_dtype", "torchscript", "transformers_version", "typical_p", "use_bfloat16", "use_cache", "use_mtp",
    "use_return_dict", "watermarking_config",
)  # fmt: skip


def build_text_encoder(o: Options, variant: Variant) -> Graph:
    """CLIPTextModel: token ids (b, s) → last_hidden_state, pooler_output, every hidden state before the final norm."""
    return _build(o, variant, projects=False)


def build_projecting_text_encoder(o: Options, variant: Variant) -> Graph:
    """CLIPTextModelWithProjection: likewise, and the pooled state projected, text_embeds (b, projection_dim)."""
    return _build(o, variant, projects=True)


def _build(o: Options, variant: Variant, projects: bool) -> Graph:
    quick = o.choice("hidden_act", "quick_gelu", "gelu") == "quick_gelu"
    width, heads = o.number("hidden_size", 512), o.count("num_attention_heads", 8)
    if width % heads:
        raise o.unsupported("num_attention_heads", heads, f"a divisor of hidden_size {width}")
    inner, layers = o.number("intermediate_size", 2048), o.count("num_hidden_layers", 12)
    vocabulary, positions = o.number("vocab_size", 49408), o.number("max_position_embeddings", 77)
    eps, eos = o.real("layer_norm_eps", 1e-5, low=0), o.number("eos_token_id", 49407, low=0)
    o.choice("model_type", "clip_text_model")
    projected = o.number("projection_dim", 512) if projects else 0
    o.pass_over(*_IRRELEVANT)

    e = Emitter(variant)
    hidden = ("batch", "sequence", width)
    ids = e.input("input_ids", ("batch", "sequence"), INT64)
    states: list[str] = []
    with e.scope("text_model"):
        with e.scope("embeddings"):
            length = e.op("Shape", ids, start=1, end=2)
            tokens = e.op("Gather", e.param("token_embedding.weight", vocabulary, width), ids, axis=0)
            table = e.param("position_embedding.weight", positions, width)
            h = e.op("Add", tokens, e.op("Slice", table, e.ints(0), length, e.ints(0)))
            mask = _causal_mask(e, length)
        states.append(h)
        for layer in range(layers):
            with e.scope(f"encoder.layers.{layer}"):
                x = layer_norm(e, h, "layer_norm1", width, eps)
                with e.scope("self_attn"):
                    q, k, v = (linear(e, x, name, width, width) for name in ("q_proj", "k_proj", "v_proj"))
                    x = linear(e, attention(e, q, k, v, heads, width, mask), "out_proj", width, width)
                h = e.op("Add", h, x)
                x = layer_norm(e, h, "layer_norm2", width, eps)
                with e.scope("mlp"):
                    x = linear(e, x, "fc1", width, inner)
                    x = _quick_gelu(e, x) if quick else e.op("Gelu", x)
                    x = linear(e, x, "fc2", inner, width)
                h = e.op("Add", h, x)
            states.append(h)
        last = layer_norm(e, h, "final_layer_norm", width, eps)
    pooled = e.op("GatherND", last, _end_of_text(e, ids, eos), batch_dims=1)
    if projects:  # first, as in transformers: diffusers asks the first output for it
        text_embeds = linear(e, pooled, "text_projection", width, projected, bias=False)
        e.output("text_embeds", text_embeds, ("batch", projected))
    e.output("last_hidden_state", last, hidden)
    e.output("pooler_output", pooled, ("batch", width))
    for index, state in enumerate(states):
        e.output(f"hidden_states.{index}", state, hidden)
    return e.finish("text_encoder")


def _quick_gelu(e: Emitter, x: str) -> str:
    return e.op("Mul", x, e.op("Sigmoid", e.op("Mul", x, e.scalar(1.702))))


def _causal_mask(e: Emitter, length: str) -> str:
    """(s, s): 0 up to the diagonal, above it the lowest number, which a softmax turns into exactly 0."""
    count = e.op("Squeeze", length)
    positions = e.op("Range", e.int_scalar(0), count, e.int_scalar(1))
    future = e.op("Less", e.op("Unsqueeze", positions, e.ints(1)), positions)
    lowest = float(np.finfo(np.float16 if e.is_half else np.float32).min)
    return e.op("Where", future, e.scalar(lowest), e.scalar(0.0))


def _end_of_text(e: Emitter, ids: str, eos: int) -> str:
    """(b, s) → (b, 1): where the end-of-text token first stands. In float32: not every provider has integer ArgMax."""
    scores = ids if eos == LEGACY_EOS else e.op("Equal", ids, e.int_scalar(eos))
    return e.op("ArgMax", e.cast(scores, FLOAT), axis=1, keepdims=1)
