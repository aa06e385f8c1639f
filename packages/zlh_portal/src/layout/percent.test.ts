import { expect, it } from "vitest";
import { percentOf, percentOfShare } from "./percent";

it.each([[null, null], [-3, 0], [0.333, 33], [1, 100], [7, 100]])("a share of %s is %s per cent", (share, percent) => expect(percentOfShare(share)).toBe(percent));

it.each([
  [50, 200, 25], [500, 200, 100], [-5, 200, 0], [0, 200, 0], [5, null, null], [0, 0, null], [5, -1, null],
])("%s bytes of %s are %s per cent", (doneBytes, totalBytes, percent) => expect(percentOf({ doneBytes, totalBytes })).toBe(percent));
