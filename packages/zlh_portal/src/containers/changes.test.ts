import { expect, it } from "vitest";
import { applyChanges, noteChange, withChanges } from "./changes";
import { sampleStatus } from "./sample";

const one = sampleStatus({ vmid: 1, lifecycle: "running" });
const two = sampleStatus({ vmid: 2 });

it("leaves an answer as it is that nothing has overtaken", () => expect(applyChanges([one, two], new Map())).toEqual([one, two]));
it("keeps what became known since it was asked for", () => {
  const stopped = { ...one, lifecycle: "stopped" as const };
  const made = sampleStatus({ vmid: 3 });
  expect(applyChanges([one, two], new Map([[1, stopped], [3, made]]))).toEqual([two, stopped, made]);
});
it("brings back nothing that was deleted", () => expect(applyChanges([one, two], new Map([[2, null]]))).toEqual([one]));
it("holds what becomes known while it asks, the last of each container, and nothing before and after", async () => {
  noteChange(1, null);
  const since = await withChanges(async (changes) => {
    noteChange(2, null);
    await Promise.resolve();
    noteChange(2, two);
    return changes;
  });
  noteChange(3, null);
  expect([...since]).toEqual([[2, two]]);
});
