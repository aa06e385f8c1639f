import { expect, it } from "vitest";
import { parseEntry } from "./version";

it("finds the entry beside scripts that are no part of a build", () =>
  expect(parseEntry('<script src="/color-scheme.js"></script><script type="module" crossorigin src="/assets/index-abc.js"></script>')).toBe("/assets/index-abc.js"));
it.each(["", "<html>Sign in to the hotel</html>", '<script src="/color-scheme.js"></script>', '<script src="https://x.example/assets/a.js"></script>'])("finds none in %j", (html) =>
  expect(parseEntry(html)).toBeNull());
