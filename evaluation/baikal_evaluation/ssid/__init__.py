"""Spatially Adaptive SSID: Li et al., Spatially Adaptive Self-Supervised Learning for Real-World Image
Denoising, CVPR 2023, section 3, arXiv 2303.14934. Written anew from its description.

Three networks learn from noisy planes y alone, one after the other; the earlier ones are fixed targets:

1. BNN sees what lies outside a square of 9 x 9 pixels, where the noise no longer depends on the noise of
   the pixel. It minimises |BNN(y) − y|, and is right in flat places.
2. LAN sees 3 x 3 pixels, and so keeps textures; it learns to remove noise in flat places, where there is a
   target: (1 − α)·|LAN(y) − BNN(y)|.
3. An ordinary U-Net denoises; it follows BNN in flat places and LAN in textured ones:
   (1 − α)·|U(y) − BNN(y)| + α·|U(y) − LAN(y)|.

The adaptive coefficient α follows from the standard deviation of BNN(y) over 7 x 7 pixels: see
``losses.texture``. The sides 9, 3 and 7 and the thresholds of α are those that the authors published.

What differs:

- Planes have one channel.
- The networks, crops and batches are small, the learning rate is high, and CPU time ends the stages instead
  of 400,000 steps each: a baseline has minutes on a processor, not days on a GPU.
- The thresholds on the standard deviation are grey levels of photographs with little noise. Here they
  are relative to the noise, measured as y − BNN(y): at the noise of fluorescence images nearly everything
  would count as textured otherwise, and so keep LAN's noise.
- LAN has no channel attention: its mean over the whole plane sees more than 3 x 3 pixels.
- Planes to denoise are reflected to multiples of the U-Net's factor.
"""
