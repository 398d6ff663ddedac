// Follows a session until it runs, and then becomes its app.

const HEADINGS = {
  created: "Preparing",
  queued: "Waiting for resources",
  starting: "Starting",
  running: "Almost there",
  stopping: "Stopping",
  stopped: "Stopped",
  failed: "Failed",
  suspended: "Suspended",
};
const PHASES = ["created", "queued", "starting", "running"];

const api = `${settings.api}sessions/${encodeURIComponent(settings.session.id)}`;
const skew = settings.now - Date.now();
let session = settings.session;

function xsrf() {
  const match = document.cookie.match(/(?:^|;\s*)_xsrf=([^;]*)/);
  return match ? decodeURIComponent(match[1]) : "";
}

function ask(path, options = {}) {
  return fetch(api + path, {
    cache: "no-store",
    ...options,
    headers: { "X-XSRFToken": xsrf(), ...options.headers },
  });
}

// What changes on the page; unchanged text is left alone, as screen readers read it out again.

function say(id, text) {
  if (element(id).textContent !== text) {
    element(id).textContent = text;
  }
}

function duration(milliseconds) {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const parts = [
    [Math.floor(seconds / 86400), "d"],
    [Math.floor(seconds / 3600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  const shown = first < 0 ? [[0, "s"]] : parts.slice(first, first + 2);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

function facts() {
  const list = [];
  const begun = Date.parse(session.started || session.created || "");
  const ended = Date.parse(session.ended || "");
  if (isEnded()) {
    if (!isNaN(ended)) {
      list.push(["Ended", new Date(ended).toLocaleString()]);
    }
    if (!isNaN(begun) && ended > begun) {
      list.push(["After", duration(ended - begun)]);
    }
    if (session.exit_code !== null && session.exit_code !== undefined) {
      list.push(["Exit code", String(session.exit_code)]);
    }
  } else if (!isNaN(begun)) {
    list.push(["Time passed", duration(Date.now() + skew - begun)]);
  }
  if (session.attempt > 1) {
    list.push(["Attempt", String(session.attempt)]);
  }
  const rows = element("facts").children;
  list.forEach(([term, value], index) => {
    if (!rows[index]) {
      const row = document.createElement("div");
      row.append(document.createElement("dt"), document.createElement("dd"));
      element("facts").append(row);
    }
    const [dt, dd] = rows[index].children;
    dt.textContent = term;
    dd.textContent = value;
  });
  while (rows.length > list.length) {
    rows[list.length].remove();
  }
}

function isEnded() {
  return session.state === "stopped" || session.state === "failed";
}

function show() {
  const current = PHASES.indexOf(session.state);
  element("phases").hidden = current < 0;
  element("phases").querySelectorAll("li").forEach((item, index) => {
    item.classList.toggle("done", index < current);
    if (index === current) {
      item.setAttribute("aria-current", "step");
    } else {
      item.removeAttribute("aria-current");
    }
  });
  const heading = HEADINGS[session.state] || "Please wait";
  document.body.classList.toggle("failed", session.state === "failed");
  document.title = `${heading} – ${session.name || session.id}`;
  say("state", heading);
  say("message", session.message || "");
  const actions = session.actions || (isEnded() ? ["restart"] : []);
  element("restart").hidden = !(isEnded() && actions.includes("restart"));
  element("resume").hidden = !(session.state === "suspended" && actions.includes("resume"));
  facts();
}

async function readLog() {
  const answer = await ask("/log?lines=200", { headers: { Accept: "text/plain" } });
  if (!answer.ok) {
    return;
  }
  const text = await answer.text();
  const log = element("log");
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  element("log-section").hidden = text.trim() === "";
  say("log", text);
  if (following) {
    log.scrollTop = log.scrollHeight;
  }
}

async function readSession() {
  const answer = await ask("", { headers: { Accept: "application/json" } });
  if ([401, 403, 404].includes(answer.status) || answer.redirected) {
    location.reload(); // logged out, or the session is gone: the server has a page for that
    return;
  }
  if (!answer.ok) {
    throw new Error(`status ${answer.status}`);
  }
  session = await answer.json();
}

async function follow() {
  let delay = 1;
  for (;;) {
    try {
      await readSession();
      show();
      if (session.state === "running" && (await appAnswers())) {
        location.reload();
        return;
      }
      await readLog();
      say("trouble", "");
      delay = isEnded() || session.state === "suspended" ? Math.min(delay * 1.5, 15) : 1;
    } catch {
      delay = Math.min(delay * 1.5, 15);
      say("trouble", "Jupyter does not answer. Trying again …");
    }
    await Promise.race([pause(delay), hurry()]);
  }
}

// A press of a button cuts the wait short.
let wake = () => {};
function hurry() {
  return new Promise((done) => {
    wake = done;
  });
}

async function act(button, verb) {
  button.disabled = true;
  say("trouble", "");
  try {
    const answer = await ask(`/${verb}`, { method: "POST" });
    const content = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      throw new Error(content.message || `The server answered ${answer.status}.`);
    }
    element("state").focus();
    wake();
  } catch (error) {
    say("trouble", error.message);
  } finally {
    button.disabled = false;
  }
}

for (const verb of ["restart", "resume"]) {
  element(verb).addEventListener("click", (event) => act(event.target, verb));
}
setInterval(facts, 1000);
element("log").scrollTop = element("log").scrollHeight;
show();
follow();
