// Two conveniences. Without them, the links and buttons of the pages still work.
"use strict";

async function replaced(id, url) {
  const response = await fetch(url, { headers: { Accept: "text/html" } });
  if (!response.ok) return false;
  // A parsed document runs no scripts, and the server has escaped everything.
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const part = page.getElementById(id);
  if (part === null) return false;
  document.getElementById(id).replaceWith(document.adoptNode(part));
  return true;
}

// The slider shows the state while it moves. It sends one request at a time, the last one for its
// final value.
const slider = document.getElementById("version");
if (slider !== null) {
  const form = slider.form;
  form.classList.add("live");
  let isAsking = false;
  const show = async () => {
    if (isAsking) return;
    isAsking = true;
    try {
      let shown;
      while (shown !== slider.value) {
        shown = slider.value;
        const url = `${form.getAttribute("action")}?${new URLSearchParams(new FormData(form))}`;
        if (!await replaced("moment", url)) break;
        history.replaceState(null, "", url);
      }
    } finally {
      isAsking = false;
    }
  };
  slider.addEventListener("input", show);
}

// The live part is loaded again every few seconds while the page is visible.
const live = document.getElementById("live");
if (live !== null) {
  const seconds = Number(live.dataset.refresh);
  setInterval(() => {
    const isReading = document.getElementById("live").contains(document.activeElement);
    if (!document.hidden && !isReading) replaced("live", location.href).catch(() => {});
  }, seconds * 1000);
}
