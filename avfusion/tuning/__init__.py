"""Search for good hyperparameters: the only place that imports Optuna.

`space` says what is searched, `storage` where a study lives, `sampling` how trials are drawn and given up, `study` what
a study is and how far it has come, `worker` is one process at work, `pool` starts and watches several.
Nothing here scores the test split: only validation is looked at.
"""
