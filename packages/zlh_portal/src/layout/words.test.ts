import { expect, it } from "vitest";
import { formatAgo, formatBytes, formatDuration, formatUntil, isolate, isolateOdd, shorten, shortenName, showUnseen } from "./words";

it.each([
  [-5, "< 0.1 s"], [49, "< 0.1 s"], [430, "0.4 s"], [9_949, "9.9 s"], [9_960, "10 s"], [42_000, "42 s"], [59_600, "1 m 00 s"],
  [185_000, "3 m 05 s"], [3_600_000, "1 h 00 m"], [7_440_000, "2 h 04 m"],
])("%d ms reads as %s", (ms, words) => expect(formatDuration(ms)).toBe(words));

it.each([
  [0, "just now"], [50, "1 min ago"], [600, "10 min ago"], [7_300, "2 h ago"], [90_000, "yesterday"], [400_000, "5 days ago"],
])("%d s ago reads as %s", (s, words) => expect(formatAgo(0, s * 1000)).toBe(words));

it.each([
  [-1, "over"], [0, "over"], [30, "in a minute"], [600, "in 10 min"], [7_300, "in 2 h"], [90_000, "in 25 h"], [604_800, "in 7 days"], [63_072_000, "in 2 years"],
])("%d s from now reads as %s", (s, words) => expect(formatUntil(s * 1000, 0)).toBe(words));

it("isolates what somebody chose, whatever would end that", () => {
  expect(isolate("a")).toBe("\u2068a\u2069");
  expect(isolate("a\u2069\u202eb")).toBe("\u2068a\\u2069\\u202Eb\u2069");
});

it("leaves alone what reads as the sentence does", () => {
  expect(isolateOdd("Sodium 0.6.1+mc1.21")).toBe("Sodium 0.6.1+mc1.21");
  expect(isolateOdd("\u0627\u0644")).toBe("\u2068\u0627\u0644\u2069");
  expect(isolateOdd("a\u202eb")).toBe("\u2068a\\u202Eb\u2069");
});

it.each([
  ["photo\u202egpj.exe", "photo\\u202Egpj.exe"], ["root\u3164\u034f\u2800", "root\\u3164\\u034F\\u2800"], ["a\u{e0041}", "a\\u{E0041}"], ["❤\ufe0f", "❤\ufe0f"], ["a\u200b\ufeffb\x1b[2J\x9b", "a\\u200B\\uFEFFb\\x1B[2J\\x9B"], ["علي\u200cها 👩\u200d🚀 é", "علي\u200cها 👩\u200d🚀 é"],
])("shows what is not seen of %j", (text, shown) => expect(showUnseen(text)).toBe(shown));

it("never speaks of the future", () => expect(formatAgo(5_000, 0)).toBe("just now"));

it.each([[0, "0 B"], [1023, "1023 B"], [65_536, "64 KiB"], [1_610_612_736, "1.5 GiB"]])("%d bytes read as %s", (n, words) =>
  expect(formatBytes(n)).toBe(words));

it.each([["short"], ["a\nb\nc\nd\ne"], ["x".repeat(280)]])("has room for all of a text that is not long", (text) => expect(shorten(text)).toBeNull());

it("has room for the beginning of a long text alone, and for five of its lines", () => {
  expect(shorten("7".repeat(5_000))).toBe("7".repeat(280));
  expect(shorten("a\n".repeat(6))).toBe("a\na\na\na\na");
});

it("leaves no half of a letter where it cuts", () => {
  expect(shorten(`${"x".repeat(279)}👩`)).toBe("x".repeat(279));
  expect(shortenName(`${"x".repeat(255)}👩y`)).toBe(`${"x".repeat(255)}…`);
  expect(isolate("7".repeat(5_000))).toBe(`\u2068${"7".repeat(256)}…\u2069`);
});
