import { describe, expect, it } from "vitest";
import { NO_INPUT, describeMissed, onDone, onGreeting, onLost, onSent, onUnsent, type Input } from "./input";

const greeted = onGreeting(NO_INPUT, true);
const typed = (bytes: number, from: Input = greeted) => onSent(from, bytes);

describe("input", () => {
  it("that is taken is nothing to speak of", () => {
    expect(onDone(typed(3), 3, 0).missed).toBeNull();
    expect(onLost(onDone(typed(3), 3, 0)).missed).toBeNull();
  });
  it("that is refused was certainly not taken", () => {
    const refused = onDone(typed(5), 2, 3);
    expect(refused.missed).toEqual({ bytes: 3, isCertain: true });
    expect(onDone(typed(1, refused), 2, 4).missed).toEqual({ bytes: 4, isCertain: true });
  });
  it("that nobody has spoken of when the connection ends may be either", () => {
    const lost = onLost(onDone(typed(5), 2, 0));
    expect(lost.missed).toEqual({ bytes: 3, isCertain: false });
    expect(onUnsent(lost, 1).missed).toEqual({ bytes: 4, isCertain: false });
  });
  it("is warned of over a new connection, until that takes some", () => {
    const again = onGreeting(onLost(typed(5)), true);
    expect(again).toMatchObject({ sent: 0, taken: 0, missed: { bytes: 5, isCertain: false } });
    expect(onDone(typed(1, again), 1, 0).missed).toBeNull();
  });
  it("is not spoken of by a console that does not confirm", () => expect(onLost(typed(5, onGreeting(NO_INPUT, false))).missed).toBeNull());
  it("that was typed where nothing takes it was not taken", () => {
    expect(onUnsent(NO_INPUT, 2).missed).toEqual({ bytes: 2, isCertain: true });
  });
  it("is spoken of in words", () => {
    expect(describeMissed({ bytes: 1, isCertain: true })).toBe("What you typed last (1 byte) was not taken: type it again.");
    expect(describeMissed({ bytes: 2, isCertain: false })).toMatch(/\(2 bytes\) may not have been taken/);
  });
});
