"""Search for good hyperparameters, and nothing else: the only place that imports Optuna.

`space` says what is searched, `storage` where a study lives, `sampling` how trials are drawn and given up, `study` what
a study is and how far it has come, `worker` is one process at work, `pool` starts and watches several.
Only validation is looked at: nothing in here scores the test split.
"""
