// The page: a person on one side, a realtime session on the other.
import { Attachments } from "./attachments.js";
import { Camera } from "./camera.js";
import { Conversation } from "./conversation.js";
import { Microphone } from "./microphone.js";
import { Player } from "./player.js";
import { $, INSECURE, canHear, notice, openSettings, show } from "./screen.js";
import { bindSettings, loadSettings } from "./settings.js";
import { Talking } from "./talking.js";
import { Transcript } from "./transcript.js";

const settings = loadSettings();
const player = new Player();
const attachments = new Attachments($("attachments"), notice);
const camera = new Camera($("viewfinder"), (video) => attachments.addFrame(video), notice);
const microphone = new Microphone((samples, level) => {
  $("mic").style.setProperty("--level", Math.min(1, level * 7).toFixed(3));
  talking.frame(samples);
});
const conversation = new Conversation({
  settings,
  player,
  transcript: new Transcript($("log"), $("scroll"), $("welcome")),
  changed,
  stateChanged(state) {
    if (state === "denied") {
      notice("This server asks for a key. Give it in the settings.");
      openSettings();
    } else if (state === "open") notice(canHear() ? "" : INSECURE);
  },
  echoUntil: (time) => microphone.echoUntil(time),
  named(model) {
    $("status").title = `Model: ${model}`;
  },
});
const talking = new Talking(microphone, conversation, attachments, settings, changed);

function changed() {
  const push = settings.mode === "push";
  window.muomni.state = show({ conversation, listening: microphone.on, push, pushed: talking.pushed, attached: !attachments.empty });
}

function ask(text) {
  if (!text && attachments.empty) return;
  if (!conversation.open) notice("There is no connection to the server.");
  else conversation.ask(text, attachments.take());
}

// -- writing

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  $("text").value = "";
  grow();
  ask(text);
  changed();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("composer").requestSubmit();
  }
});
$("text").addEventListener("input", () => {
  grow();
  changed();
});
function grow() {
  const { style } = $("text");
  style.height = "auto";
  style.height = `${Math.min($("text").scrollHeight, 160)}px`;
}

// -- buttons

for (const chip of $("suggestions").children) chip.addEventListener("click", () => ask(chip.textContent));
$("stop").addEventListener("click", () => conversation.stop());
$("new").addEventListener("click", () => conversation.restart());
$("open-settings").addEventListener("click", openSettings);

// -- pictures and films

async function attach(files) {
  await attachments.add(files);
  changed();
}
$("attach").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", async () => {
  await attach($("file").files);
  $("file").value = "";
});
$("camera").addEventListener("click", () => (canHear() ? camera.open().then(changed) : notice(INSECURE)));
document.addEventListener("paste", (event) => {
  if (!event.clipboardData?.files.length) return;
  event.preventDefault();
  attach(event.clipboardData.files);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  attach(event.dataTransfer?.files ?? []);
});

// -- talking

const mic = $("mic");
mic.addEventListener("pointerdown", (event) => {
  if (settings.mode !== "push") return;
  event.preventDefault();
  mic.setPointerCapture(event.pointerId);
  talking.press();
});
for (const name of ["pointerup", "pointercancel"]) mic.addEventListener(name, () => talking.release());
mic.addEventListener("click", () => settings.mode === "hands-free" && talking.press());
mic.addEventListener("contextmenu", (event) => event.preventDefault());
const typing = (target) => target instanceof HTMLElement && (target.closest("dialog") || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || (target.tagName === "BUTTON" && target !== mic));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) conversation.stop();
  if (event.code === "Space" && settings.mode === "push" && !typing(event.target)) {
    event.preventDefault();
    if (!event.repeat) talking.press();
  }
});
document.addEventListener("keyup", (event) => {
  if (event.code === "Space" && settings.mode === "push") talking.release();
});
window.addEventListener("blur", () => talking.release());

// -- settings

bindSettings($("settings").querySelector("form"), settings, (name) => {
  if (name === "key") conversation.restart();
  else conversation.update();
  if (name === "mode") microphone.stop();
  microphone.headphones = settings.headphones;
  changed();
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
    return conversation.sentSamples;
  },
  get timelines() {
    return [...conversation.replies.values()].map((reply) => reply.timeline.at);
  },
};

if (!canHear()) notice(INSECURE);
changed();
conversation.connect();
