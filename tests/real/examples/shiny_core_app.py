"""A Shiny Core app: the same as objects."""

from shiny import App, Inputs, render, ui

page = ui.page_fluid(ui.input_action_button("press", "Press"), ui.output_text("answer"))


def server(inputs: Inputs) -> None:
    @render.text
    def answer() -> str:
        return f"The server counts {inputs.press()}"


app = App(page, server)
