"""`latentrt bench peers`: the same picture painted by latentrt and by others, each in an environment of its own."""
