// When things happened in a reply, as a small picture; the same in words for those who do not see it.
const WIDTH = 260;
const HEIGHT = 30;
const NAMES = {
  decided: "pause noticed",
  text: "first text",
  sound: "first sound",
  end: "played to",
};

export class Timeline {
  /** from: performance.now() at which speech ended, or the message was sent. */
  constructor(from, spoken) {
    this.from = from;
    this.spoken = spoken;
    this.at = {};
  }

  mark(name, time = performance.now()) {
    this.at[name] ??= Math.max(0, time - this.from);
  }

  get words() {
    const begin = this.spoken ? "Since you stopped speaking" : "Since you sent it";
    const parts = Object.keys(NAMES)
      .filter((name) => name in this.at)
      .map((name) => `${NAMES[name]} ${duration(this.at[name])}`);
    return `${begin}: ${parts.join(", ")}.`;
  }

  draw() {
    const longest = Math.max(400, ...Object.values(this.at));
    // Most happens in the first moments: a square root gives them room.
    const x = (ms) => 1 + (WIDTH - 2) * Math.sqrt(ms / longest);
    const { decided = 0, text, sound, end } = this.at;
    const bars = [];
    const bar = (from, to, name) => {
      if (to > from) bars.push(`<rect class="${name}" x="${x(from)}" y="9" width="${Math.max(1.5, x(to) - x(from) - 1)}" height="8" rx="2"/>`);
    };
    bar(0, decided, "pause");
    bar(decided, text ?? sound ?? end ?? decided, "thinking");
    if (sound !== undefined) {
      bar(text ?? sound, sound, "text");
      bar(sound, end ?? sound, "sound");
    } else if (text !== undefined) bar(text, end ?? text, "text");
    const marks = [];
    for (const [name, y] of [["text", 6], ["sound", 27]]) {
      if (this.at[name] === undefined) continue;
      const at = x(this.at[name]);
      const anchor = at > WIDTH - 70 ? "end" : "start";
      marks.push(`<path d="M${at} ${name === "text" ? 2 : 9}V${name === "text" ? 17 : 26}"/>`);
      marks.push(`<text x="${anchor === "end" ? at - 3 : at + 3}" y="${y}" text-anchor="${anchor}">${name} ${duration(this.at[name])}</text>`);
    }
    if (decided && x(decided) > 75) marks.push(`<text x="1" y="6">pause ${duration(decided)}</text>`);
    const holder = document.createElement("div");
    holder.className = "timeline";
    holder.innerHTML = `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"><title></title>${bars.join("")}${marks.join("")}</svg>`;
    holder.querySelector("title").textContent = this.words;
    return holder;
  }
}

export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
