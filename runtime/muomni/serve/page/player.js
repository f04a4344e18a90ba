// Plays 24 kHz PCM16 as it comes, without gaps, and knows exactly what has been heard of it.
const RATE = 24000;
const LEAD_S = 0.04; // before the first sample, and after the network was late
const FADE_S = 0.012; // an end without a click

export class Player {
  constructor() {
    this.context = null;
    this.playedSamples = 0; // since the page was opened
    this.underruns = 0;
    this.onstart = this.onend = () => {};
    this.reset();
  }

  /** Called from a click or a key: browsers let no page make a sound before. */
  unlock() {
    this.context ??= new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    if (this.context.state === "suspended") this.context.resume();
  }

  reset() {
    this.itemId = null;
    this.pieces = []; // {at, samples}: when each begins to sound
    this.sources = new Set();
    this.until = 0;
    this.complete = false;
    this.started = false;
  }

  get playing() {
    return this.itemId !== null && (!this.complete || this.sources.size > 0);
  }

  /** performance.now() at which what was given so far has been heard. */
  get endsAt() {
    return performance.now() + Math.max(0, this.until - this.now) * 1000;
  }

  /** What is at the ear, not what was handed to the device. */
  get now() {
    const { context } = this;
    return context ? context.currentTime - (context.outputLatency || context.baseLatency || 0) : 0;
  }

  push(itemId, samples) {
    this.unlock();
    if (itemId !== this.itemId) {
      this.stop();
      this.itemId = itemId;
    }
    const { context } = this;
    const buffer = context.createBuffer(1, samples.length, RATE);
    const channel = buffer.getChannelData(0);
    for (let i = 0; i < samples.length; i++) channel[i] = samples[i] / 32768;
    if (this.until < context.currentTime + 0.005) {
      if (this.pieces.length) this.underruns += 1;
      this.until = context.currentTime + LEAD_S;
    }
    const gain = context.createGain();
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(gain).connect(context.destination);
    source.start(this.until);
    const entry = { source, gain };
    this.sources.add(entry);
    source.onended = () => {
      this.sources.delete(entry);
      if (this.complete && !this.sources.size) this.over();
    };
    this.pieces.push({ at: this.until, samples: samples.length });
    if (!this.started) {
      this.started = true;
      const id = itemId;
      setTimeout(() => this.itemId === id && this.onstart(id), Math.max(0, (this.until - this.now) * 1000));
    }
    this.until += samples.length / RATE;
  }

  /** No more comes of this item. */
  finish(itemId) {
    if (itemId !== this.itemId) return;
    this.complete = true;
    if (!this.sources.size) this.over();
  }

  /** Milliseconds of the item that were heard. */
  get heardMs() {
    const now = this.now;
    let samples = 0;
    for (const piece of this.pieces) {
      samples += Math.max(0, Math.min(piece.samples, Math.round((now - piece.at) * RATE)));
    }
    return (samples / RATE) * 1000;
  }

  /** Silence, at once. Gives what was heard of which item, or null where nothing was playing. */
  stop() {
    if (!this.playing) return null;
    const heard = { itemId: this.itemId, heardMs: Math.floor(this.heardMs) };
    for (const { source, gain } of this.sources) {
      source.onended = null;
      gain.gain.setTargetAtTime(0, this.context.currentTime, FADE_S / 3);
      source.stop(this.context.currentTime + FADE_S);
    }
    this.playedSamples += Math.round((heard.heardMs / 1000) * RATE);
    this.reset();
    this.onend(heard.itemId, false);
    return heard;
  }

  over() {
    const id = this.itemId;
    this.playedSamples += this.pieces.reduce((sum, piece) => sum + piece.samples, 0);
    this.reset();
    this.onend(id, true);
  }
}
