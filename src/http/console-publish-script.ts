/** The part of the console's script that publishes. It follows the rest if publishing is on. */
export const consolePublishScript = `
// --- Publishing

const DEMO_PER_SECOND = 5;
const demoSubjects = JSON.parse(document.body.dataset.demo);
let demo;
let sent = 0;

async function publish(subject, body) {
  const url = base + "/publish/" + encodeURIComponent(subject);
  const headers = token === "" ? {} : { Authorization: "Bearer " + token };
  const response = await fetch(url, { method: "POST", body, headers });
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw new Error(answer?.detail ?? "refused with " + response.status);
}

function sendDemo() {
  const subject = demoSubjects[sent % demoSubjects.length];
  const celsius = Number((15 + 10 * Math.sin(sent / 20 + subject.length)).toFixed(1));
  sent += 1;
  publish(subject, JSON.stringify({ n: sent, celsius })).catch((error) => {
    if (demo === undefined) return;
    stopDemo();
    byId("outcome").textContent = "The demo stream ended: " + error.message;
  });
}

function startDemo() {
  demo = setInterval(sendDemo, 1000 / DEMO_PER_SECOND);
  showDemo("Stop the demo stream");
}

function stopDemo() {
  clearInterval(demo);
  demo = undefined;
  showDemo("Send a demo stream");
}

function showDemo(label) {
  byId("demo").textContent = label;
  byId("demo").classList.toggle("on", demo !== undefined);
  byId("outcome").textContent = "";
}

byId("demo").onclick = () => (demo === undefined ? startDemo() : stopDemo());
byId("publish").onsubmit = async (event) => {
  event.preventDefault();
  const subject = byId("subject").value.trim();
  try {
    await publish(subject, byId("payload").value);
    byId("outcome").textContent = "Published to " + subject;
  } catch (error) {
    byId("outcome").textContent = "Not published: " + error.message;
  }
};
`;
