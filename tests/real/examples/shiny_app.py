# A Shiny Express app: a button, and how often the server has heard of it.

from shiny.express import input, render, ui

ui.input_action_button("press", "Press")


@render.text
def answer() -> str:
    return f"The server counts {input.press()}"
