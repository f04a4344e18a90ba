"""What a bundle is: its manifest, the contract of its graphs, its folder."""
