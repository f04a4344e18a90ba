"""The models of a bundle, one file each: numbers in, numbers out."""
