// What the page says about itself: its state, a notice, the buttons.
export const $ = (id) => document.getElementById(id);

export const INSECURE =
  "A browser gives the microphone and camera to pages over https or on localhost only. Start the server with --tls-self-signed, " +
  `or forward its port (ssh -L ${location.port || 80}:localhost:${location.port || 80} ${location.hostname}) and open http://localhost:${location.port || 80}. Writing works here.`;

export function canHear() {
  return window.isSecureContext && Boolean(navigator.mediaDevices?.getUserMedia);
}

export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

export function openSettings() {
  if (!$("settings").open) $("settings").showModal();
}

/** The name of the state, and its words. */
function stateOf({ conversation, listening, push, pushed }) {
  const { player } = conversation;
  if (conversation.denied) return ["off", "Key needed"];
  if (!conversation.open) return ["off", "Connecting…"];
  if (conversation.personSpeaking || pushed) return ["hearing", "I hear you"];
  if (player.playing) return ["speaking", "Speaking"];
  if (conversation.response) return ["thinking", "Thinking"];
  return ["ready", listening && !push ? "Listening" : "Ready"];
}

/** Bring everything up to date; the name of the state. facts: {conversation, listening, push, pushed, attached}. */
export function show(facts) {
  const { conversation, listening, push, pushed, attached } = facts;
  const [state, text] = stateOf(facts);
  document.body.dataset.state = state;
  if ($("status-text").textContent !== text) $("status-text").textContent = text; // it is read aloud
  const written = $("text").value.trim() !== "" || attached;
  $("stop").hidden = !conversation.busy;
  $("send").hidden = conversation.busy && !written;
  $("send").classList.toggle("idle", !written);
  const on = push ? pushed : listening;
  $("mic").setAttribute("aria-pressed", String(on));
  $("mic").title = push ? "Hold to talk (space bar)" : on ? "Stop listening" : "Talk";
  $("mic").setAttribute("aria-label", $("mic").title);
  $("mic").classList.toggle("disabled", !canHear());
  $("hint").textContent = !canHear() ? "Microphone: only over https or on localhost" : push ? "Hold the button or the space bar while you talk" : on ? "It answers when you pause. Speak to interrupt." : "";
  return state;
}
