// The page: a person on one side, a realtime session on the other.
import { Attachments, contentOf } from "./attachments.js";
import { Camera } from "./camera.js";
import { Connection, pcmFromBase64, toBase64 } from "./connection.js";
import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { bindSettings, loadSettings, sessionOf } from "./settings.js";
import { Timeline } from "./timeline.js";
import { Transcript } from "./transcript.js";

const $ = (id) => document.getElementById(id);
const settings = loadSettings();
const player = new Player();
const microphone = new Microphone(onFrame);
const transcript = new Transcript($("log"), $("scroll"), $("welcome"));
const attachments = new Attachments($("attachments"), notice);
const camera = new Camera($("viewfinder"), (video) => attachments.addFrame(video), notice);

let response = null; // {id, itemId, timeline}: in progress
let asked = null; // Timeline of what was asked last
const replies = new Map(); // item id -> {timeline, spoken, ended}
let sentSamples = 0; // to the session, as the server counts
let lastFrameAt = 0;
let pushed = false; // push to talk: held
let personSpeaking = false;
let denied = false;

const connection = new Connection(
  {
    "session.created": ({ session }) => {
      $("status").title = `Model: ${session.model}`;
      updateSession();
    },
    "session.updated": () => show(),
    error: onError,
    "input_audio_buffer.speech_started": ({ item_id }) => {
      personSpeaking = true;
      interrupt();
      transcript.person(item_id, { listening: true });
      show();
    },
    "input_audio_buffer.speech_stopped": ({ audio_end_ms, item_id }) => {
      personSpeaking = false;
      // When the sample at which speech ended was at the microphone.
      const behind = sentSamples / 24 - audio_end_ms;
      asked = new Timeline(lastFrameAt - Math.max(0, behind), true);
      asked.mark("decided");
      transcript.heard(item_id);
      show();
    },
    "input_audio_buffer.committed": ({ item_id }) => {
      if (!transcript.get(item_id)) transcript.person(item_id, { listening: true });
      transcript.heard(item_id);
    },
    "conversation.item.input_audio_transcription.completed": ({ item_id, transcript: words }) => transcript.heard(item_id, words),
    "response.created": ({ response: { id } }) => {
      response = { id, itemId: null, timeline: asked ?? new Timeline(performance.now(), false) };
      asked = null;
      show();
    },
    "response.output_item.added": ({ response_id, item }) => {
      if (response?.id !== response_id) return;
      response.itemId = item.id;
      replies.set(item.id, { timeline: response.timeline, spoken: settings.aloud });
      transcript.model(item.id);
    },
    "response.output_audio_transcript.delta": onText,
    "response.output_text.delta": onText,
    "response.output_audio.delta": ({ item_id, delta }) => {
      player.push(item_id, pcmFromBase64(delta));
      microphone.echoUntil(player.endsAt);
    },
    "response.output_audio.done": ({ item_id }) => player.finish(item_id),
    "response.done": onDone,
    "conversation.item.truncated": ({ item_id }) => connection.send("conversation.item.retrieve", { item_id }),
    "conversation.item.retrieved": ({ item }) => transcript.interrupted(item.id, item.content[0]?.transcript ?? ""),
  },
  (state) => {
    denied = state === "denied";
    if (state !== "open") {
      const lost = player.stop();
      if (lost) transcript.note(lost.itemId, "the connection was lost");
      response = null;
      personSpeaking = false;
    } else sentSamples = 0;
    if (denied) {
      notice("This server asks for a key. Give it in the settings.");
      openSettings();
    } else if (state === "open") notice(canHear() ? "" : INSECURE);
    show();
  },
);

player.onstart = (itemId) => {
  replies.get(itemId)?.timeline.mark("sound");
  transcript.playing(itemId, true);
  show();
};
player.onend = (itemId, whole) => {
  microphone.echoUntil(0);
  const reply = replies.get(itemId);
  if (reply) {
    reply.timeline.mark("end");
    transcript.picture(itemId, reply.timeline.draw());
  }
  transcript.playing(itemId, false);
  if (!whole) reply && (reply.ended = true);
  show();
};

function onText({ item_id, delta }) {
  replies.get(item_id)?.timeline.mark("text");
  transcript.append(item_id, delta);
}

function onDone({ response: { id, status, status_details: details } }) {
  if (response?.id !== id) return;
  const { itemId } = response;
  response = null;
  if (status === "failed") transcript.problem(details?.error?.message ?? "The reply failed.");
  else if (status === "incomplete" && itemId) transcript.note(itemId, "the reply reached its longest length");
  else if (status === "cancelled" && itemId) transcript.note(itemId, "interrupted");
  const reply = replies.get(itemId);
  if (reply && player.itemId !== itemId && !reply.ended) {
    reply.timeline.mark("end");
    transcript.picture(itemId, reply.timeline.draw());
  }
  show();
}

function onError({ error }) {
  // What raced with its opposite needs no words.
  if (["response_cancel_not_active", "input_audio_buffer_commit_empty", "item_not_found"].includes(error.code)) return;
  transcript.problem(error.message);
}

/** Silence at once, and the model forgets what was not heard. */
function interrupt() {
  const heard = player.stop();
  if (heard) connection.send("conversation.item.truncate", { item_id: heard.itemId, content_index: 0, audio_end_ms: heard.heardMs });
}

function stop() {
  if (response) connection.send("response.cancel");
  interrupt();
  show();
}

// -- asking

function ask(text) {
  const media = attachments.take();
  if (!text && !media.length) return;
  if (!connection.open) {
    notice("There is no connection to the server.");
    return;
  }
  player.unlock();
  stop();
  const content = [...media.map(contentOf), ...(text ? [{ type: "input_text", text }] : [])];
  const id = newId();
  transcript.person(id, { text, attachments: media });
  connection.send("conversation.item.create", { item: { id, type: "message", role: "user", content } });
  asked = new Timeline(performance.now(), false);
  connection.send("response.create");
}

/** Pictures come along with what is said. */
function sendAttachments() {
  const media = attachments.take();
  if (!media.length) return;
  const id = newId();
  transcript.person(id, { attachments: media });
  connection.send("conversation.item.create", { item: { id, type: "message", role: "user", content: media.map(contentOf) } });
}

function newId() {
  // randomUUID is not there over plain http.
  return `item_${[...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("")}`;
}

// -- microphone

function onFrame(samples, level) {
  $("mic").style.setProperty("--level", Math.min(1, level * 7).toFixed(3));
  if (settings.mode === "push" && !pushed) return;
  lastFrameAt = performance.now();
  if (connection.send("input_audio_buffer.append", { audio: toBase64(new Uint8Array(samples.buffer)) })) sentSamples += samples.length;
}

async function startMicrophone() {
  if (!canHear()) {
    notice(INSECURE);
    return false;
  }
  player.unlock();
  microphone.headphones = settings.headphones;
  try {
    await microphone.start();
    notice("");
  } catch (error) {
    const why = { NotAllowedError: "The microphone was not allowed. Allow it beside the page's address.", NotFoundError: "No microphone was found." };
    notice(why[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  show();
  return microphone.on;
}

const INSECURE =
  "A browser gives the microphone and camera to pages over https or on localhost only. Start the server with --tls-self-signed, " +
  `or forward its port (ssh -L ${location.port || 80}:localhost:${location.port || 80} ${location.hostname}) and open http://localhost:${location.port || 80}. Writing works here.`;

function canHear() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);
}

async function press() {
  if (settings.mode === "hands-free") {
    if (microphone.on) {
      microphone.stop();
      connection.send("input_audio_buffer.clear");
      personSpeaking = false;
    } else if (await startMicrophone()) sendAttachments();
    show();
    return;
  }
  if (pushed) return;
  pushed = true;
  stop();
  connection.send("input_audio_buffer.clear");
  sendAttachments();
  if (!(await startMicrophone())) pushed = false;
  show();
}

function release() {
  if (settings.mode !== "push" || !pushed) return;
  pushed = false;
  asked = new Timeline(performance.now(), true);
  connection.send("input_audio_buffer.commit");
  connection.send("response.create");
  show();
}

// -- what is shown

function show() {
  const busy = Boolean(response) || player.playing;
  let state = "ready";
  let text = microphone.on && settings.mode === "hands-free" ? "Listening" : "Ready";
  if (denied) [state, text] = ["off", "Key needed"];
  else if (!connection.open) [state, text] = ["off", "Connecting…"];
  else if (personSpeaking || pushed) [state, text] = ["hearing", "I hear you"];
  else if (player.playing) [state, text] = ["speaking", "Speaking"];
  else if (response) [state, text] = ["thinking", "Thinking"];
  document.body.dataset.state = state;
  if ($("status-text").textContent !== text) $("status-text").textContent = text;
  const written = $("text").value.trim() !== "" || !attachments.empty;
  $("stop").hidden = !busy;
  $("send").hidden = busy && !written;
  $("send").classList.toggle("idle", !written);
  const on = settings.mode === "push" ? pushed : microphone.on;
  $("mic").setAttribute("aria-pressed", String(on));
  const push = settings.mode === "push";
  $("mic").title = push ? "Hold to talk (space bar)" : on ? "Stop listening" : "Talk";
  $("mic").setAttribute("aria-label", $("mic").title);
  $("mic").classList.toggle("disabled", !canHear());
  $("hint").textContent = !canHear() ? "Microphone: only over https or on localhost" : push ? "Hold the button or the space bar while you talk" : on ? "It answers when you pause. Speak to interrupt." : "";
  window.muomni.state = state;
}

function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

function updateSession() {
  connection.send("session.update", { session: sessionOf(settings) });
}

function openSettings() {
  if (!$("settings").open) $("settings").showModal();
}

function newConversation() {
  player.stop();
  replies.clear();
  transcript.clear();
  response = asked = null;
  connection.connect(settings.key);
  show();
}

// -- what a person does

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  grow();
  ask(text);
  show();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});
$("text").addEventListener("input", () => {
  grow();
  show();
});
function grow() {
  const { style } = $("text");
  style.height = "auto";
  style.height = `${Math.min($("text").scrollHeight, 160)}px`;
}

for (const chip of $("suggestions").children) chip.addEventListener("click", () => ask(chip.textContent));
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", newConversation);
$("open-settings").addEventListener("click", openSettings);
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => {
  await attachments.add($("file").files);
  $("file").value = "";
  show();
});
$("camera").addEventListener("click", () => (canHear() ? camera.open().then(show) : notice(INSECURE)));
document.addEventListener("paste", async (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  await attachments.add(event.clipboardData.files);
  show();
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", async (event) => {
  event.preventDefault();
  await attachments.add(event.dataTransfer?.files ?? []);
  show();
});

const mic = $("mic");
mic.addEventListener("pointerdown", (event) => {
  if (settings.mode !== "push") return;
  event.preventDefault();
  mic.setPointerCapture(event.pointerId);
  press();
});
for (const name of ["pointerup", "pointercancel"]) mic.addEventListener(name, release);
mic.addEventListener("click", () => settings.mode === "hands-free" && press());
mic.addEventListener("contextmenu", (event) => event.preventDefault());
const typing = (target) => target instanceof HTMLElement && (target.closest("dialog") || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || (target.tagName === "BUTTON" && target !== mic));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) stop();
  if (event.code === "Space" && settings.mode === "push" && !typing(event.target)) {
    event.preventDefault();
    if (!event.repeat) press();
  }
});
document.addEventListener("keyup", (event) => {
  if (event.code === "Space" && settings.mode === "push") release();
});
window.addEventListener("blur", release);

bindSettings($("settings").querySelector("form"), settings, (name) => {
  if (name === "key") newConversation();
  else updateSession();
  if (name === "mode") microphone.stop();
  microphone.headphones = settings.headphones;
  show();
});

/** Counters, for tests and the curious. */
window.muomni = {
  state: "off",
  get playedSamples() {
    return player.playedSamples + Math.round(player.heardMs * 24);
  },
  get underruns() {
    return player.underruns;
  },
  get frames() {
    return microphone.frames;
  },
  get sentSamples() {
    return sentSamples;
  },
  get timelines() {
    return [...replies.values()].map((reply) => reply.timeline.at);
  },
};

if (!canHear()) notice(INSECURE);
show();
connection.connect(settings.key);
