// Runs in the audio thread: 24 kHz PCM16 from whatever rate the microphone has, 20 ms at a time, with its level.
const RATE = 24000;
const FRAME = 480;

class Microphone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.step = sampleRate / RATE;
    this.at = 0; // of the next output sample, in input samples behind `last`
    this.last = 0;
    this.smooth = 0;
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.energy = 0;
    // A low-pass against aliases: none where nothing is thrown away.
    this.keep = this.step <= 1 ? 0 : Math.exp((-2 * Math.PI * 9000) / sampleRate);
  }

  process(inputs) {
    const input = inputs[0][0];
    if (!input) return true;
    for (const raw of input) {
      this.smooth = raw + (this.smooth - raw) * this.keep;
      while (this.at <= 1) {
        this.put(this.last + (this.smooth - this.last) * this.at);
        this.at += this.step;
      }
      this.at -= 1;
      this.last = this.smooth;
    }
    return true;
  }

  put(sample) {
    const clipped = Math.max(-1, Math.min(1, sample));
    this.frame[this.filled++] = Math.round(clipped * 32767);
    this.energy += clipped * clipped;
    if (this.filled < FRAME) return;
    this.port.postMessage({ samples: this.frame, level: Math.sqrt(this.energy / FRAME) });
    this.frame = new Int16Array(FRAME);
    this.filled = 0;
    this.energy = 0;
  }
}

registerProcessor("microphone", Microphone);
