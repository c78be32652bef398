"""Pages for people: the study regenerated, its tables and figures beside ours, and the page of a comparison.

`gathering` collects the `material` of the study's report, `contents` puts the `document` together from sections, `html`
(by the template page.html) and `markdown` write it down. `published` holds the study's own numbers, `comparison_page`
is what `compare` shows. Nothing here computes a statistic: that is `avfusion.analysis`.
"""
