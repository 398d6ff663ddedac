"""A Panel app: a button, and how often the server has heard of it."""

import panel as pn

press = pn.widgets.Button(name="Press")
answer = pn.bind(lambda count: f"The server counts {count}", press.param.clicks)
pn.Column(press, pn.pane.Str(answer)).servable(title="Panel")
