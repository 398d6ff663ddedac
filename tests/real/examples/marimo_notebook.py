"""A marimo notebook: a slider, and what the server makes of it."""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    return (mo,)


@app.cell
def _(mo):
    press = mo.ui.button(value=0, on_click=lambda count: count + 1, label="Press")
    press
    return (press,)


@app.cell
def _(mo, press):
    mo.md(f"The server counts {press.value}")
    return


if __name__ == "__main__":
    app.run()
