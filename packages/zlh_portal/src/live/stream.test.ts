import { afterEach, describe, expect, it, vi } from "vitest";
import { listen, parseEvent } from "./stream";

it("takes what names a container", () => expect(parseEvent('{"vmid":101,"name":"a"}')).toMatchObject({ vmid: 101 }));
it.each(["", "nonsense", "null", "[]", "{}", '{"vmid":"101"}'])("drops %j", (data) => expect(parseEvent(data)).toBeNull());

describe("a stream", () => {
  const opened: FakeSource[] = [];
  class FakeSource {
    static readonly CLOSED = 2;
    readyState = 1;
    onerror: (() => void) | null = null;
    constructor() {
      opened.push(this);
    }
    addEventListener = () => undefined;
    close = () => (this.readyState = FakeSource.CLOSED);
    refuse(): void {
      this.readyState = FakeSource.CLOSED;
      this.onerror?.();
    }
  }
  const page = Object.assign(new EventTarget(), { hidden: false });
  const turn = (hidden: boolean) => {
    page.hidden = hidden;
    page.dispatchEvent(new Event("visibilitychange"));
  };
  const begin = (hidden: boolean) => {
    vi.useFakeTimers();
    vi.stubGlobal("window", new EventTarget());
    vi.stubGlobal("document", page);
    vi.stubGlobal("EventSource", FakeSource);
    page.hidden = hidden;
    const ignore = () => undefined;
    stop = listen({ onOpen: ignore, onLost: ignore, onContainer: ignore, onDeleted: ignore, onEntry: ignore, onCatalog: ignore, onRollout: ignore, onRights: ignore });
  };
  const areOpen = () => opened.filter(({ readyState }) => readyState !== FakeSource.CLOSED).length;
  let stop = () => {};
  afterEach(() => {
    stop();
    opened.length = 0;
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  it("is given back by a page that was opened in the background, and opened once somebody looks", () => {
    begin(true);
    expect(areOpen()).toBe(1);
    vi.advanceTimersByTime(30_000);
    expect(areOpen()).toBe(0);
    turn(false);
    expect(areOpen()).toBe(1);
  });
  it("that is refused is opened again, unless nobody looks", () => {
    begin(false);
    opened[0]?.refuse();
    vi.advanceTimersByTime(5_000);
    expect(areOpen()).toBe(1);
    turn(true);
    opened[1]?.refuse();
    vi.advanceTimersByTime(45_000);
    expect(opened).toHaveLength(2);
    turn(false);
    expect(areOpen()).toBe(1);
  });
  it("that is refused and back while its page goes out of sight is given back all the same", () => {
    begin(false);
    opened[0]?.refuse();
    turn(true);
    vi.advanceTimersByTime(5_000);
    expect(areOpen()).toBe(1);
    vi.advanceTimersByTime(30_000);
    expect(areOpen()).toBe(0);
  });
});
