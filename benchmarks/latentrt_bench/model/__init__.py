"""`latentrt bench model`: a model stage by stage."""
