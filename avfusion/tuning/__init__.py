"""Search for good hyperparameters: the only place that imports Optuna.

A tuning study is one search, of the hyperparameters of one variant on one feature store; a trial is one training in it,
with one choice of values. In this folder, as in Optuna, the former is simply a study.

`space` says what is searched, `plans` what a study is to be, `storage` where it is kept, `sampling` which values are
tried next, `study` how far it has come. `worker` is one process at work, `pool` starts and watches several, `leader`
says who finishes a study that several machines work on. `results`, `importances_figure` and `interactive`
show what was found.
Nothing here scores the test split: only validation is looked at.
"""
