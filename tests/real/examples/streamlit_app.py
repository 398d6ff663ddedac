"""A Streamlit app: a button, and how often the server has heard of it."""

import streamlit as st

st.title("Streamlit")
if st.button("Press"):
    st.session_state.count = st.session_state.get("count", 0) + 1
st.write(f"The server counts {st.session_state.get('count', 0)}")
