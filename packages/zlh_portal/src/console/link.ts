/** Joins the console machine to a real WebSocket and a screen; decides nothing itself. */
import { explainClose, type Diagnosis } from "./farewell";
import { SUBPROTOCOL, parseMessage, parseOutput, renderBinaryInput, renderInput, renderResize, type ServerMessage } from "./frames";
import { NO_INPUT, onDone, onGreeting, onLost, onSent, onUnsent, type Input, type Missed } from "./input";
import { START, step, type Effect, type Event, type State } from "./machine";
import type { Told } from "./notices";

/** What shows the bytes. */
export interface Screen {
  write(bytes: Uint8Array, onRendered: () => void): void;
  clear(): void;
  showGap(bytes: number): void;
  size(): { cols: number; rows: number };
}

export class ConsoleLink {
  private state: State = START;
  private input: Input = NO_INPUT;
  private socket: WebSocket | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private isClosed = false;

  constructor(
    /** Path of the console, without the query. */
    private readonly path: string,
    private readonly screen: Screen,
    private readonly diagnose: () => Promise<Diagnosis>,
    private readonly onChange: (state: State) => void,
    /** Told of typed input that was not taken, or may not have been; null once that is over. */
    private readonly onMissed: (missed: Missed | null) => void,
    /** Called with what people at the console should know. */
    private readonly onNotice: (notice: Told) => void,
  ) {}

  open(): void {
    this.connect(null);
  }

  close(): void {
    this.isClosed = true;
    if (this.timer !== null) clearTimeout(this.timer);
    this.drop();
  }

  /** Connect again at once, whatever the machine waits for. */
  retryNow(): void {
    // Nobody tells any more what became of it.
    this.countInput(onLost(this.input));
    if (this.timer !== null) clearTimeout(this.timer);
    this.handle({ type: "retry" });
  }

  /** Send what was typed, or what the terminal answers by itself, which nobody misses where nothing takes it. */
  send(text: string, isTyped: boolean): void {
    this.sendFrames(renderInput(text), isTyped);
  }

  sendBinary(text: string): void {
    this.sendFrames(renderBinaryInput(text), false);
  }

  sendSize(): void {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    const { cols, rows } = this.screen.size();
    this.socket.send(renderResize(cols, rows));
  }

  private sendFrames(frames: Uint8Array<ArrayBuffer>[], isTyped: boolean): void {
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    if (this.state.phase === "live" && this.socket?.readyState === WebSocket.OPEN) {
      for (const frame of frames) this.socket.send(frame);
      this.countInput(onSent(this.input, bytes));
    } else if (isTyped && !this.isClosed) {
      this.countInput(onUnsent(this.input, bytes));
    }
  }

  private countInput(next: Input): void {
    const { missed } = this.input;
    this.input = next;
    if (next.missed !== missed) this.onMissed(next.missed);
  }

  private handle(event: Event): void {
    if (this.isClosed) return;
    const [next, effects] = step(this.state, event, Date.now(), Math.random());
    const hasChanged = next !== this.state;
    this.state = next;
    for (const effect of effects) this.perform(effect);
    if (event.type === "lost" && next.retryAt !== null) {
      this.timer = setTimeout(() => this.handle({ type: "retry" }), next.retryAt - Date.now());
    }
    if (hasChanged) this.onChange(this.state);
  }

  private perform(effect: Effect): void {
    switch (effect.type) {
      case "connect":
        return this.connect(effect.from);
      case "write":
        return this.screen.write(effect.bytes, () => this.handle({ type: "rendered", offset: effect.end }));
      case "mark":
        return this.screen.write(new Uint8Array(), () => this.handle({ type: "rendered", offset: effect.offset }));
      case "clear":
        return this.screen.clear();
      case "show-gap":
        return this.screen.showGap(effect.bytes);
      case "send-size":
        return this.sendSize();
    }
  }

  private connect(from: number | null): void {
    this.drop();
    const url = new URL(this.path, window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("confirm", "input");
    if (from !== null) url.searchParams.set("from", String(from));
    const socket = new WebSocket(url, SUBPROTOCOL);
    socket.binaryType = "arraybuffer";
    let wasOpen = false;
    socket.onopen = () => (wasOpen = true);
    socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => this.receive(data);
    socket.onclose = ({ code, reason }) => {
      if (this.socket === socket) void this.lose(socket, wasOpen, explainClose(code, reason));
    };
    this.socket = socket;
  }

  private receive(data: ArrayBuffer | string): void {
    if (typeof data === "string") {
      const message = parseMessage(data);
      if (!message) return;
      this.heed(message);
      this.handle({ type: "message", message });
    } else {
      const output = parseOutput(data);
      if (output) this.handle({ type: "output", output });
    }
  }

  private heed(message: ServerMessage): void {
    if (message.type === "hello") this.countInput(onGreeting(this.input, message.confirms));
    else if (message.type === "notice") this.onNotice({ code: message.code, message: message.message });
    else if (message.type === "input") this.countInput(onDone(this.input, message.taken, message.refused));
  }

  private async lose(socket: WebSocket, wasOpen: boolean, told: Diagnosis | null): Promise<void> {
    this.countInput(onLost(this.input));
    const diagnosis = told ?? (wasOpen ? { reason: null, isFinal: false } : await this.diagnose());
    if (this.socket === socket) this.handle({ type: "lost", ...diagnosis });
  }

  /** Forget the socket before it is closed, so that its end is nobody's news. */
  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }
}
