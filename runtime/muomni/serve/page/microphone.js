// The microphone: frames of 20 ms at 24 kHz. While we speak, only what is clearly louder than our echo gets through.
const FRAME_S = 0.02;
const TAIL_MS = 350; // the room rings on after the loudspeaker
const OPEN_MS = 400; // what got through once goes on through short pauses
const RAISED_LEVEL = 0.03; // of full scale, about a voice at arm's length
const ABOVE_FLOOR = 5;

export class Microphone {
  /** onFrame(Int16Array, level): 480 samples each. */
  constructor(onFrame) {
    this.onFrame = onFrame;
    this.floor = 0.003;
    this.frames = 0;
    this.headphones = false;
    this.speakingUntil = 0; // performance.now() until which we are heard, tail included
    this.openUntil = 0;
    this.loud = 0;
  }

  get on() {
    return Boolean(this.context);
  }

  async start() {
    if (this.on) return;
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
    const context = new AudioContext({ latencyHint: "interactive" });
    try {
      await context.audioWorklet.addModule(new URL("microphone-worklet.js", import.meta.url));
    } catch (error) {
      for (const track of stream.getTracks()) track.stop();
      await context.close();
      throw error;
    }
    this.stream = stream;
    this.context = context;
    this.node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.take(data.samples, data.level);
    context.createMediaStreamSource(stream).connect(this.node);
    await context.resume();
  }

  stop() {
    if (!this.on) return;
    this.node.port.onmessage = null;
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
    this.context = this.stream = this.node = null;
  }

  /** The loudspeaker is heard until then (performance.now()). */
  echoUntil(time) {
    this.speakingUntil = time === 0 ? Math.min(this.speakingUntil, performance.now() + TAIL_MS) : time + TAIL_MS;
  }

  take(samples, level) {
    this.frames += 1;
    this.onFrame(this.passes(level) ? samples : new Int16Array(samples.length), level);
  }

  passes(level) {
    const now = performance.now();
    if (this.headphones || now > this.speakingUntil) {
      // The floor falls at once and rises slowly: it is the level of the pauses.
      this.floor = level < this.floor ? level : Math.min(0.02, this.floor + FRAME_S * 0.002);
      this.loud = 0;
      return true;
    }
    this.loud = level > Math.max(RAISED_LEVEL, ABOVE_FLOOR * this.floor) ? this.loud + 1 : 0;
    if (this.loud >= 3) this.openUntil = now + OPEN_MS;
    return now < this.openUntil;
  }
}
