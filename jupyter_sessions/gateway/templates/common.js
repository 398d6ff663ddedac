// Shared by our pages: what the server said, and whether the app answers yet.

const settings = JSON.parse(document.getElementById("settings").textContent);
const element = (id) => document.getElementById(id);
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

// In a tab of JupyterLab the way back is the tab bar.
if (window.top !== window) {
  element("back").hidden = true;
}

// Our own answers carry a mark; any other answer is the app's. Only its head is waited for.
async function appAnswers() {
  const stop = new AbortController();
  try {
    const answer = await fetch(location.href, {
      cache: "no-store",
      redirect: "manual",
      headers: { Accept: "*/*" },
      signal: stop.signal,
    });
    return !answer.headers.has(settings.mark);
  } catch {
    return false;
  } finally {
    stop.abort();
  }
}
