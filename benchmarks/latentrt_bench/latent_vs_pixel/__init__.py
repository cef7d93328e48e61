"""`latentrt bench latent-vs-pixel`: the paper's own experiment, its LDM-1 … LDM-32."""
