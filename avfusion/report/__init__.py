"""The study, regenerated: its tables and figures, published beside ours, as one page.

`material` is what a report is made of, `from_files` and `from_runs` gather it, `contents` puts the `document`
together from sections, `html` and `markdown` write it down. `published` holds the study's own numbers.
Nothing here computes a statistic: that is `avfusion.analysis`.
"""
