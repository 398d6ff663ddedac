"""A Gradio demo as its tutorial has it: it launches itself."""

import gradio as gr

with gr.Blocks() as demo:
    press = gr.Button("Press")
    answer = gr.Markdown("The server counts 0")
    count = gr.State(0)
    press.click(lambda n: (n + 1, f"The server counts {n + 1}"), count, [count, answer])

if __name__ == "__main__":
    demo.launch(share=True, server_name="0.0.0.0")
