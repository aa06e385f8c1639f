import { expect, it } from "vitest";
import { FIRST, learn, probeDelayMs } from "./standing";

it("counts failures until something answers", () => {
  const cut = learn(learn({ ...FIRST, answeredAtMs: 5 }, { type: "no-answer" }), { type: "no-answer" });
  expect(cut).toMatchObject({ failures: 2, answeredAtMs: 5 });
  expect(learn(cut, { type: "answer", nowMs: 9 })).toMatchObject({ failures: 0, answeredAtMs: 9 });
});

it("keeps in mind that the session has ended until somebody is signed in, whatever else is told", () => {
  const ended = learn(learn(FIRST, { type: "ended" }), { type: "answer", nowMs: 1 });
  expect(ended.hasEnded).toBe(true);
  expect(learn(ended, { type: "signed-in" }).hasEnded).toBe(false);
});

it("never takes back that the portal was replaced", () =>
  expect(learn(learn(FIRST, { type: "replaced" }), { type: "signed-in" }).isReplaced).toBe(true));

it.each([[1, 1_000], [2, 2_000], [4, 8_000], [5, 15_000], [500, 15_000]])("asks again after failure %d in %d ms", (failures, ms) =>
  expect(probeDelayMs(failures)).toBe(ms));
