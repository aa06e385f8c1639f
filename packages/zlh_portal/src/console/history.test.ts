import { describe, expect, it } from "vitest";
import type { ConsoleHistory } from "../api/types";
import { cutExcerpt, percentOf, readable, START_DOWNLOAD, takePage, type Download } from "./history";

const page = (text: string, start: number, written: number, stream = "s"): ConsoleHistory => {
  const bytes = new TextEncoder().encode(text);
  return { stream, start, end: start + bytes.length, written, text, data: btoa(String.fromCharCode(...bytes)), matches: [] };
};
const textOf = ({ parts }: Download) => new TextDecoder().decode(Uint8Array.from(parts.flatMap((part) => [...part])));

describe("download", () => {
  it("puts the kept output together, whatever the pages", () => {
    const text = "grün and gone";
    const bytes = new TextEncoder().encode(text);
    for (let size = 1; size <= bytes.length; size += 1) {
      let download = START_DOWNLOAD;
      for (let turns = 0; !download.isDone; turns += 1) {
        expect(turns).toBeLessThan(bytes.length + 1);
        const part = bytes.slice(download.next, download.next + size);
        download = takePage(download, { ...page("", download.next, bytes.length), end: download.next + part.length, data: btoa(String.fromCharCode(...part)) });
      }
      expect(textOf(download)).toBe(text);
    }
  });
  it("begins at the oldest that is kept, and ends at what was written when it began", () => {
    const first = takePage(START_DOWNLOAD, page("abc", 100, 105));
    expect([first.isDone, percentOf(first)]).toEqual([false, 60]);
    const last = takePage(first, page("defghi", 103, 500));
    expect([textOf(last), last.isDone, percentOf(last)]).toEqual(["abcde", true, 100]);
  });
  it("tells what was overwritten meanwhile", () =>
    expect(textOf(takePage(takePage(START_DOWNLOAD, page("ab", 0, 10)), page("ij", 8, 30)))).toBe("ab\n[6 bytes are no longer kept]\nij"));
  it("ends with the history that it began with", () => {
    const other = takePage(takePage(START_DOWNLOAD, page("ab", 0, 10)), page("xy", 2, 10, "other"));
    expect([textOf(other), other.isDone]).toEqual(["ab", true]);
  });
  it("is done where nothing is kept", () => expect(takePage(START_DOWNLOAD, page("", 0, 0)).isDone).toBe(true));
});

describe("cutExcerpt", () => {
  it("shows the lines around a match, and only those", () => {
    const lines = Array.from({ length: 30 }, (_, i) => `line ${i}`).join("\r\n");
    const at = lines.indexOf("line 15");
    const found = cutExcerpt(page(lines, 1000, 2000), { stream: "s", at: 1000 + at, length: 7 });
    expect(found?.match).toBe("line 15");
    expect(found?.before).toBe("line 10\nline 11\nline 12\nline 13\nline 14\n");
    expect(found?.after).toBe("\nline 16\nline 17\nline 18\nline 19\nline 20");
  });
  it("counts in bytes", () => expect(cutExcerpt(page("ü = grün", 0, 10), { stream: "s", at: 5, length: 5 })).toEqual({ before: "ü = ", match: "grün", after: "" }));
  it("finds nothing that the page does not hold", () => {
    expect(cutExcerpt(page("abc", 10, 13), { stream: "s", at: 9, length: 1 })).toBeNull();
    expect(cutExcerpt(page("abc", 10, 13), { stream: "s", at: 12, length: 2 })).toBeNull();
  });
  it("finds nothing in a stream that has begun since", () => expect(cutExcerpt(page("abc", 10, 13, "other"), { stream: "s", at: 10, length: 3 })).toBeNull());
});

it.each([
  ["\x1b[1;31mred\x1b[0m", "red"], ["\x1b]0;title\x07x", "x"], ["\x1b]8;;http://a\x1b\\x", "x"], ["\x1b(Bx\x1b=", "x"], ["a\rb\r\nc", "a\nb\nc"], ["bell\x07 null\x00\ttab", "bell null\ttab"],
])("reads %j as %j", (text, wanted) => expect(readable(text)).toBe(wanted));
