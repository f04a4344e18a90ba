"""μOmni's stages as plain torch modules, one file each.

Every module is built from a frozen ``…Sizes`` dataclass, has the parameter names of a μOmni checkpoint (so a
state dict loads with ``strict=True``), trains, and computes without a cache what the reference computes. The
graphs in :mod:`muomni_export.stages` are made from these modules and checked against them.

Axis legend: B batch, T time (positions, frames), D width of the Thinker, d width of the stage, V vocabulary,
K codes per codebook, C codebooks, M mel bins, N image patches, H heads.
"""
