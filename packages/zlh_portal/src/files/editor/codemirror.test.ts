import { expect, it } from "vitest";
import { Compartment, EditorState, usable } from "./codemirror";

it("lets somebody write from the moment on at which they may, and no longer", () => {
  const use = new Compartment();
  const turn = (state: EditorState, isReadOnly: boolean) => state.update({ effects: use.reconfigure(usable(isReadOnly, () => undefined)) }).state;
  const looked = EditorState.create({ doc: "text", extensions: use.of(usable(true, () => undefined)) });
  const written = turn(looked, false).update({ changes: { from: 4, insert: "!" } }).state;
  expect([looked.readOnly, written.readOnly, turn(written, true).readOnly]).toEqual([true, false, true]);
  expect(turn(written, true).doc.toString()).toBe("text!");
});
