"""What a user would run instead, written from the libraries' own documentation.

plain_vae.py       a VAE in plain PyTorch, after its examples
diffusers_loop.py  diffusers' unconditional training
ancestral.py       diffusers' DDPMPipeline with all its 1,000 steps
fid.py             torchmetrics' Fréchet distance

Each is given the same network, the same images and the same number of steps as this program, and
left as its documentation has it: float32, a DataLoader, one call after another.
"""
