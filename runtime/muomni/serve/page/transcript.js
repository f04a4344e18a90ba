// The conversation as it is shown.
import { thumbnail } from "./attachments.js";

export class Transcript {
  constructor(list, scroll, welcome) {
    this.list = list;
    this.scroll = scroll;
    this.welcome = welcome;
    this.entries = new Map(); // item id -> entry
  }

  clear() {
    this.entries.clear();
    this.list.replaceChildren();
    this.welcome.hidden = false;
  }

  get(id) {
    return this.entries.get(id);
  }

  /** What a person said or wrote. */
  person(id, { text = "", attachments = [], listening = false } = {}) {
    const entry = this.entry(id, "person");
    if (attachments.length) {
      const media = document.createElement("div");
      media.className = "media";
      media.append(...attachments.map(thumbnail));
      entry.element.prepend(media);
    }
    entry.spoken = listening;
    this.write(entry, text);
    entry.element.classList.toggle("listening", listening);
    return entry;
  }

  /** Speech is over; `words` where they are known. */
  heard(id, words) {
    const entry = this.entries.get(id);
    if (!entry) return;
    entry.element.classList.remove("listening");
    entry.element.classList.add("spoken");
    this.write(entry, words ?? entry.text);
  }

  model(id) {
    return this.entries.get(id) ?? this.entry(id, "model");
  }

  append(id, piece) {
    const entry = this.entries.get(id);
    if (entry) this.write(entry, entry.text + piece);
  }

  /** Of a reply that was interrupted: what was heard, and what was not. */
  interrupted(id, heard) {
    const entry = this.entries.get(id);
    if (!entry) return;
    const rest = document.createElement("span");
    rest.className = "unheard";
    rest.textContent = entry.text.slice(heard.length);
    entry.body.replaceChildren(heard, rest);
    this.note(id, "interrupted");
  }

  note(id, text, kind = "") {
    const entry = this.entries.get(id);
    if (!entry || entry.element.querySelector(`.note[data-text="${CSS.escape(text)}"]`)) return;
    const note = document.createElement("p");
    note.className = `note ${kind}`;
    note.dataset.text = text;
    note.textContent = text;
    entry.element.append(note);
    this.follow();
  }

  picture(id, element) {
    const entry = this.entries.get(id);
    if (!entry) return;
    entry.element.querySelector(".timeline")?.remove();
    entry.element.append(element);
    this.follow();
  }

  playing(id, on) {
    this.entries.get(id)?.element.classList.toggle("playing", on);
  }

  remove(id) {
    this.entries.get(id)?.element.remove();
    this.entries.delete(id);
  }

  /** A message that has no item: an error. */
  problem(text) {
    const entry = this.entry(`problem-${this.list.children.length}`, "problem");
    this.write(entry, text);
  }

  entry(id, kind) {
    this.welcome.hidden = true;
    const element = document.createElement("li");
    element.className = kind;
    const who = document.createElement("span");
    who.className = "hidden";
    who.textContent = { person: "You: ", model: "μOmni: ", problem: "Problem: " }[kind];
    const body = document.createElement("p");
    element.append(who, body);
    this.list.append(element);
    const entry = { element, body, text: "" };
    this.entries.set(id, entry);
    this.follow();
    return entry;
  }

  write(entry, text) {
    entry.text = text;
    entry.body.textContent = text;
    entry.body.hidden = !text && !entry.element.classList.contains("listening") && entry.spoken !== true;
    this.follow();
  }

  follow() {
    this.scroll.scrollTop = this.scroll.scrollHeight;
  }
}
