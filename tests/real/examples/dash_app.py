"""A Dash app as its tutorial has it: it runs itself, with its debugging tools."""

from dash import Dash, Input, Output, callback, html

app = Dash(__name__)
app.layout = html.Div([html.Button("Press", id="press"), html.P(id="answer")])


@callback(Output("answer", "children"), Input("press", "n_clicks"))
def count(clicks):
    return f"The server counts {clicks or 0}"


if __name__ == "__main__":
    app.run(debug=True, port=8051)
