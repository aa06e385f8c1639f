import { describe, expect, it } from "vitest";
import { MAX_INPUT_BYTES, parseMessage, parseOutput, renderBinaryInput, renderInput, renderResize } from "./frames";
import { POLICY, START, retryDelayMs, step, type Effect, type Event, type State } from "./machine";

const bytes = (text: string) => new TextEncoder().encode(text);
const frame = (offset: bigint, text: string): ArrayBuffer => {
  const body = bytes(text);
  const whole = new Uint8Array(8 + body.length);
  new DataView(whole.buffer).setBigUint64(0, offset, false);
  whole.set(body, 8);
  return whole.buffer;
};
const hello = (from: number, to: number, stream = "s1", state = "running"): Event => ({
  type: "message", message: { type: "hello", stream, from, to, state, confirms: true },
});
const output = (offset: number, text: string): Event => ({ type: "output", output: { offset, bytes: bytes(text) } });
const lost: Event = { type: "lost", reason: null, isFinal: false };

/** Run events one after the other and return the last state with every effect. */
function run(events: Event[], from: State = START): [State, Effect[]] {
  let state = from;
  const effects: Effect[] = [];
  for (const event of events) {
    const [next, more] = step(state, event, 1_000, 0.5);
    state = next;
    effects.push(...more);
  }
  return [state, effects];
}

const written = (effects: Effect[]) =>
  effects.map((effect) => (effect.type === "write" ? new TextDecoder().decode(effect.bytes) : "")).join("");

describe("frames", () => {
  it("reads the offset of 8 bytes, the highest first", () => {
    const parsed = parseOutput(frame(0x1_0000_0002n, "hi"));
    expect(parsed?.offset).toBe(0x1_0000_0002);
    expect(new TextDecoder().decode(parsed?.bytes)).toBe("hi");
  });
  it("refuses a frame shorter than an offset, and offsets beyond exact numbers", () => {
    expect(parseOutput(new ArrayBuffer(7))).toBeNull();
    expect(parseOutput(frame(2n ** 60n, ""))).toBeNull();
  });
  it("takes an empty frame", () => expect(parseOutput(frame(5n, ""))).toMatchObject({ offset: 5 }));

  it("parses every message", () => {
    expect(parseMessage('{"type":"hello","stream":"u","from":1,"to":2,"state":"running"}')).toEqual({
      type: "hello", stream: "u", from: 1, to: 2, state: "running", confirms: false });
    expect(parseMessage('{"type":"hello","stream":"u","from":1,"to":2,"state":"running","confirms":true}')).toMatchObject({ confirms: true });
    expect(parseMessage('{"type":"input","taken":3,"refused":0}')).toEqual({ type: "input", taken: 3, refused: 0 });
    expect(parseMessage('{"type":"gap","from":1,"to":9}')).toEqual({ type: "gap", from: 1, to: 9 });
    expect(parseMessage('{"type":"exit","code":null,"signal":"SIGKILL"}')).toEqual({ type: "exit", code: null, signal: "SIGKILL" });
    expect(parseMessage('{"type":"state","state":"stopped"}')).toEqual({ type: "state", state: "stopped" });
  });
  it.each(["", "null", "[]", "{}", '{"type":"hello"}', '{"type":"gap","from":-1,"to":2}', '{"type":"gap","from":"1","to":2}', '{"type":"new"}', '{"type":"input","taken":1}'])(
    "knows nothing of %s", (text) => expect(parseMessage(text)).toBeNull());

  it("cuts a paste into frames without cutting a character", () => {
    const text = "€".repeat(MAX_INPUT_BYTES);
    const frames = renderInput(text);
    expect(frames.every((part) => part.length <= MAX_INPUT_BYTES)).toBe(true);
    expect(frames.map((part) => new TextDecoder("utf-8", { fatal: true }).decode(part)).join("")).toBe(text);
  });
  it("sends nothing for nothing", () => expect(renderInput("")).toEqual([]));
  it("keeps binary reports byte for byte", () => expect(renderBinaryInput("\x1b[M\xff")).toEqual([Uint8Array.of(27, 91, 77, 255)]));
  it("renders a resize", () => expect(JSON.parse(renderResize(80, 24))).toEqual({ type: "resize", cols: 80, rows: 24 }));
});

describe("replay", () => {
  it("lets input through only once everything up to hello.to is on the screen", () => {
    const [replaying] = run([hello(0, 5), output(0, "hello")]);
    expect(replaying.phase).toBe("replaying");
    expect(run([{ type: "rendered", offset: 4 }], replaying)[0].phase).toBe("replaying");
    expect(run([{ type: "rendered", offset: 5 }], replaying)[0].phase).toBe("live");
  });
  it("ends at once where there is nothing to replay", () => {
    const [state, effects] = run([hello(7, 7)]);
    expect(effects).toContainEqual({ type: "mark", offset: 7 });
    expect(run([{ type: "rendered", offset: 7 }], state)[0].phase).toBe("live");
  });
  it("tells its size on every connection", () => expect(run([hello(0, 0)])[1]).toContainEqual({ type: "send-size" }));
});

describe("resume", () => {
  const [live] = run([hello(0, 5), output(0, "hello"), { type: "rendered", offset: 5 }]);

  it("asks for exactly the rest", () => {
    const [, effects] = run([lost, { type: "retry" }], live);
    expect(effects).toEqual([{ type: "connect", from: 5 }]);
  });
  it("shows no byte twice, wherever the server begins", () => {
    for (const start of [0, 2, 5]) {
      const [, effects] = run([lost, { type: "retry" }, hello(start, 10), output(start, "helloworld".slice(start))], live);
      expect(written(effects)).toBe("world");
    }
  });
  it("puts a history together from any cut", () => {
    const text = "the quick brown fox";
    for (let size = 1; size <= text.length; size += 1) {
      const events: Event[] = [hello(0, text.length)];
      for (let i = 0; i < text.length; i += size) events.push(output(i, text.slice(i, i + size)));
      expect(written(run(events)[1])).toBe(text);
    }
  });
  it("shows a gap that the server tells of, once", () => {
    const [state, effects] = run([hello(100, 200), { type: "message", message: { type: "gap", from: 5, to: 100 } }, output(100, "x")], live);
    expect(effects.filter((effect) => effect.type === "show-gap")).toEqual([{ type: "show-gap", bytes: 95 }]);
    expect(state).toMatchObject({ offset: 101, missedBytes: 95 });
  });
  it("shows a gap that nobody told of", () => {
    expect(run([output(9, "x")], live)[1][0]).toEqual({ type: "show-gap", bytes: 4 });
  });
  it("begins anew when the history is another one", () => {
    const [state, effects] = run([lost, { type: "retry" }, hello(3, 9, "s2")], live);
    expect(effects.slice(-2)).toEqual([{ type: "clear" }, { type: "connect", from: null }]);
    expect(state).toMatchObject({ stream: "s2", offset: null, phase: "connecting" });
    expect(written(run([hello(0, 3, "s2"), output(0, "new")], state)[1])).toBe("new");
  });
  it("begins anew as well where the other history is as long as the old one was", () => {
    const [state, effects] = run([lost, { type: "retry" }, hello(5, 9, "s2"), output(5, "last")], live);
    expect(effects.slice(-2)).not.toContainEqual({ type: "send-size" });
    expect(effects).toContainEqual({ type: "connect", from: null });
    expect(state.stream).toBe("s2");
  });
  it("goes on with another history that comes from its first byte", () => {
    const [state, effects] = run([lost, { type: "retry" }, hello(0, 3, "s2"), output(0, "new")], live);
    expect(effects).not.toContainEqual({ type: "connect", from: null });
    expect([written(effects), state.offset]).toEqual(["new", 3]);
  });
  it("keeps what it was told of the process", () => {
    const told = (state: string): Event => ({ type: "message", message: { type: "state", state } });
    expect(run([hello(0, 0, "s1", "stopped")])[0].told).toBe("stopped");
    expect(run([told("backoff")], live)[0].told).toBe("backoff");
    expect(run([{ type: "message", message: { type: "exit", code: 1, signal: null } }, told("starting")], live)[0].exit).toBeNull();
  });
  it("forgets an exit when the process is back", () => {
    const [ended] = run([{ type: "message", message: { type: "exit", code: 1, signal: null } }], live);
    expect(ended.exit).toEqual({ code: 1, signal: null });
    expect(run([{ type: "message", message: { type: "state", state: "running" } }], ended)[0].exit).toBeNull();
  });
});

describe("loss", () => {
  it("waits longer each time, and starts over after a success", () => {
    const [once] = run([lost]);
    const [twice] = run([{ type: "retry" }, lost], once);
    expect([once.retryAt, twice.retryAt]).toEqual([1_500, 2_000]);
    expect(run([{ type: "retry" }, hello(0, 0)], twice)[0].attempt).toBe(0);
  });
  it("does not try again where it is of no use", () => {
    expect(run([{ type: "lost", reason: "gone", isFinal: true }])[0]).toMatchObject({ phase: "refused", retryAt: null, reason: "gone" });
  });
  it("never waits beyond the longest pause, spread by a fifth", () => {
    expect(retryDelayMs(40, 1, POLICY)).toBe(18_000);
    expect(retryDelayMs(0, 0, POLICY)).toBe(400);
  });
});
