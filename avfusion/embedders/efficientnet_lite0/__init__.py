"""EfficientNet-Lite0: what a picture shows, after 1000 classes of ImageNet; 1280 values per picture.

Nothing here decodes files; README.md is the model card of the weights.
"""
