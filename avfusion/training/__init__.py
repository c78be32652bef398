"""Learning: a feature store and a variant in, a classifier with its answers on validation and test out.

Nothing here knows MLflow (`avfusion.tracking`) or decides which hyperparameters to try (`avfusion.tuning`).
"""
