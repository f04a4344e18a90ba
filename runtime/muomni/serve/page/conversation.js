// A realtime session as the page follows it: questions go out, replies come in, are written and heard.
import { contentOf } from "./attachments.js";
import { Connection, pcmFromBase64, toBase64 } from "./connection.js";
import { sessionOf } from "./settings.js";
import { Timeline } from "./timeline.js";

/** What raced with its opposite needs no words. */
const RACES = ["response_cancel_not_active", "input_audio_buffer_commit_empty", "item_not_found"];

export class Conversation {
  /**
   * changed(): something that is shown is another; stateChanged(state): open, closed or denied;
   * echoUntil(time): we are heard until then; named(model): what answers.
   */
  constructor({ settings, player, transcript, changed, stateChanged, echoUntil, named }) {
    Object.assign(this, { settings, player, transcript, changed, echoUntil });
    this.response = null; // {id, itemId, timeline}: in progress
    this.asked = null; // Timeline of what was asked last
    this.replies = new Map(); // item id -> {timeline, spoken, ended}
    this.sentSamples = 0; // to the session, as the server counts
    this.lastFrameAt = 0;
    this.personSpeaking = false;
    this.denied = false;
    this.connection = new Connection(this.handlers(named), (state) => {
      this.denied = state === "denied";
      if (state === "open") this.sentSamples = 0;
      else this.lost();
      stateChanged(state);
      changed();
    });
    player.onstart = (itemId) => this.sounds(itemId);
    player.onend = (itemId, whole) => this.silent(itemId, whole);
  }

  handlers(named) {
    const { transcript } = this;
    const onText = ({ item_id, delta }) => {
      this.replies.get(item_id)?.timeline.mark("text");
      transcript.append(item_id, delta);
    };
    return {
      "session.created": ({ session }) => {
        named(session.model);
        this.update();
      },
      "session.updated": () => this.changed(),
      error: ({ error }) => RACES.includes(error.code) || transcript.problem(error.message),
      "input_audio_buffer.speech_started": ({ item_id }) => {
        this.personSpeaking = true;
        this.interrupt();
        transcript.person(item_id, { listening: true });
        this.changed();
      },
      "input_audio_buffer.speech_stopped": ({ audio_end_ms, item_id }) => {
        this.personSpeaking = false;
        // When the sample at which speech ended was at the microphone.
        const behind = this.sentSamples / 24 - audio_end_ms;
        this.asked = new Timeline(this.lastFrameAt - Math.max(0, behind), true);
        this.asked.mark("decided");
        transcript.heard(item_id);
        this.changed();
      },
      "input_audio_buffer.committed": ({ item_id }) => {
        if (!transcript.get(item_id)) transcript.person(item_id, { listening: true });
        transcript.heard(item_id);
      },
      "conversation.item.input_audio_transcription.completed": ({ item_id, transcript: words }) => transcript.heard(item_id, words),
      "response.created": ({ response: { id } }) => {
        this.response = { id, itemId: null, timeline: this.asked ?? new Timeline(performance.now(), false) };
        this.asked = null;
        this.changed();
      },
      "response.output_item.added": ({ response_id, item }) => {
        if (this.response?.id !== response_id) return;
        this.response.itemId = item.id;
        this.replies.set(item.id, { timeline: this.response.timeline, spoken: this.settings.aloud });
        transcript.model(item.id);
      },
      "response.output_audio_transcript.delta": onText,
      "response.output_text.delta": onText,
      "response.output_audio.delta": ({ item_id, delta }) => {
        this.player.push(item_id, pcmFromBase64(delta));
        this.echoUntil(this.player.endsAt);
      },
      "response.output_audio.done": ({ item_id }) => this.player.finish(item_id),
      "response.done": ({ response }) => this.done(response),
      "conversation.item.truncated": ({ item_id }) => this.connection.send("conversation.item.retrieve", { item_id }),
      "conversation.item.retrieved": ({ item }) => transcript.interrupted(item.id, item.content[0]?.transcript ?? ""),
    };
  }

  get open() {
    return this.connection.open;
  }

  /** A reply is made, or heard. */
  get busy() {
    return Boolean(this.response) || this.player.playing;
  }

  connect() {
    this.connection.connect(this.settings.key);
  }

  /** The settings are others. */
  update() {
    this.connection.send("session.update", { session: sessionOf(this.settings) });
  }

  /** Begin anew. */
  restart() {
    this.player.stop();
    this.replies.clear();
    this.transcript.clear();
    this.response = this.asked = null;
    this.connect();
    this.changed();
  }

  /** Write, and show pictures or a film. */
  ask(text, media) {
    this.player.unlock();
    this.stop();
    this.sendItem(media, text);
    this.asked = new Timeline(performance.now(), false);
    this.connection.send("response.create");
  }

  /** Pictures come along with what is said. */
  show(media) {
    if (media.length) this.sendItem(media);
  }

  /** Samples (Int16Array) of the microphone. */
  hear(samples) {
    this.lastFrameAt = performance.now();
    if (this.connection.send("input_audio_buffer.append", { audio: toBase64(new Uint8Array(samples.buffer)) })) this.sentSamples += samples.length;
  }

  /** What was said so far is for nothing. */
  forgetSound() {
    this.connection.send("input_audio_buffer.clear");
    this.personSpeaking = false;
  }

  /** Push to talk: that was all. */
  endTurn() {
    this.asked = new Timeline(performance.now(), true);
    this.connection.send("input_audio_buffer.commit");
    this.connection.send("response.create");
  }

  stop() {
    if (this.response) this.connection.send("response.cancel");
    this.interrupt();
    this.changed();
  }

  /** Silence at once, and the model forgets what was not heard. */
  interrupt() {
    const heard = this.player.stop();
    if (heard) this.connection.send("conversation.item.truncate", { item_id: heard.itemId, content_index: 0, audio_end_ms: heard.heardMs });
  }

  // -- what happens

  sendItem(media, text) {
    const id = newId();
    this.transcript.person(id, { text, attachments: media });
    const content = [...media.map(contentOf), ...(text ? [{ type: "input_text", text }] : [])];
    this.connection.send("conversation.item.create", { item: { id, type: "message", role: "user", content } });
  }

  lost() {
    const lost = this.player.stop();
    if (lost) this.transcript.note(lost.itemId, "the connection was lost");
    this.response = null;
    this.personSpeaking = false;
  }

  done({ id, status, status_details: details }) {
    if (this.response?.id !== id) return;
    const { itemId } = this.response;
    this.response = null;
    if (status === "failed") this.transcript.problem(details?.error?.message ?? "The reply failed.");
    else if (status === "incomplete" && itemId) this.transcript.note(itemId, "the reply reached its longest length");
    else if (status === "cancelled" && itemId) this.transcript.note(itemId, "interrupted");
    const reply = this.replies.get(itemId);
    if (reply && this.player.itemId !== itemId && !reply.ended) this.picture(itemId, reply);
    this.changed();
  }

  sounds(itemId) {
    this.replies.get(itemId)?.timeline.mark("sound");
    this.transcript.playing(itemId, true);
    this.changed();
  }

  silent(itemId, whole) {
    this.echoUntil(0);
    const reply = this.replies.get(itemId);
    if (reply) this.picture(itemId, reply);
    this.transcript.playing(itemId, false);
    if (!whole && reply) reply.ended = true;
    this.changed();
  }

  picture(itemId, reply) {
    reply.timeline.mark("end");
    this.transcript.picture(itemId, reply.timeline.draw());
  }
}

function newId() {
  // randomUUID is not there over plain http.
  return `item_${[...crypto.getRandomValues(new Uint8Array(8))].map((b) => b.toString(16).padStart(2, "0")).join("")}`;
}
