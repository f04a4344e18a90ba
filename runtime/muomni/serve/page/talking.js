// The microphone's button: hands-free, or pushed while one talks.
import { INSECURE, canHear, notice } from "./screen.js";

const PROBLEMS = { NotAllowedError: "The microphone was not allowed. Allow it beside the page's address.", NotFoundError: "No microphone was found." };

export class Talking {
  constructor(microphone, conversation, attachments, settings, changed) {
    Object.assign(this, { microphone, conversation, attachments, settings, changed });
    this.pushed = false; // push to talk: held
  }

  /** A frame of the microphone. */
  frame(samples) {
    if (this.settings.mode === "push" && !this.pushed) return;
    this.conversation.hear(samples);
  }

  async press() {
    if (this.settings.mode === "hands-free") {
      if (this.microphone.on) {
        this.microphone.stop();
        this.conversation.forgetSound();
      } else if (await this.start()) this.conversation.show(this.attachments.take());
    } else if (!this.pushed) {
      this.pushed = true;
      this.conversation.stop();
      this.conversation.forgetSound();
      this.conversation.show(this.attachments.take());
      if (!(await this.start())) this.pushed = false;
    }
    this.changed();
  }

  release() {
    if (this.settings.mode !== "push" || !this.pushed) return;
    this.pushed = false;
    this.conversation.endTurn();
    this.changed();
  }

  /** Whether the microphone is on now. */
  async start() {
    if (!canHear()) {
      notice(INSECURE);
      return false;
    }
    this.conversation.player.unlock();
    this.microphone.headphones = this.settings.headphones;
    try {
      await this.microphone.start();
      notice("");
    } catch (error) {
      notice(PROBLEMS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    this.changed();
    return this.microphone.on;
  }
}
