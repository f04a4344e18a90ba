// One websocket to /v1/realtime: events in, events out, and again when it breaks.
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;

export class Connection {
  /** handlers: {eventType: handler}; onstate(state, detail) with open, closed or denied. */
  constructor(handlers, onstate) {
    this.handlers = handlers;
    this.onstate = onstate;
    this.wait = FIRST_WAIT_MS;
    this.socket = null;
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  connect(key) {
    this.key = key;
    clearTimeout(this.timer);
    if (this.socket) {
      this.socket.onclose = null;
      this.socket.close();
    }
    const address = new URL("v1/realtime", document.baseURI);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    const protocols = ["realtime"];
    if (key) protocols.push(`openai-insecure-api-key.${key}`);
    let opened = false;
    try {
      this.socket = new WebSocket(address, protocols);
    } catch {
      this.onstate("denied");
      return;
    }
    const { socket } = this;
    socket.onopen = () => {
      opened = true;
      this.wait = FIRST_WAIT_MS;
      this.onstate("open");
    };
    socket.onmessage = ({ data }) => {
      const event = JSON.parse(data);
      this.handlers[event.type]?.(event);
    };
    socket.onclose = async () => {
      this.socket = null;
      if (!opened && (await this.denied())) {
        this.onstate("denied");
        return;
      }
      this.onstate("closed");
      this.timer = setTimeout(() => this.connect(this.key), this.wait);
      this.wait = Math.min(LONGEST_WAIT_MS, this.wait * 2);
    };
  }

  /** A browser does not say why a websocket failed; a request does. */
  async denied() {
    try {
      const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
      return (await fetch(new URL("v1/models", document.baseURI), { headers })).status === 401;
    } catch {
      return false;
    }
  }

  send(type, fields = {}) {
    if (!this.open) return false;
    this.socket.send(JSON.stringify({ type, ...fields }));
    return true;
  }
}

export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  return btoa(text);
}

export function pcmFromBase64(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}
