// Tries again until the app answers.

async function retry() {
  for (let delay = 1; ; delay = Math.min(delay * 1.3, 10)) {
    await pause(delay);
    if (await appAnswers()) {
      location.reload();
      return;
    }
  }
}

if (settings.retry) {
  const again = element("again");
  again.hidden = false;
  again.addEventListener("click", () => location.reload());
  retry();
}
