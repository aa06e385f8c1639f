import { expect, it } from "vitest";
import { forgetOthers, prefixOf } from "./remembered";

function makeStorage(keys: readonly string[]): Storage {
  const kept = new Map(keys.map((key) => [key, ""]));
  return {
    get length() {
      return kept.size;
    },
    key: (at: number) => [...kept.keys()][at] ?? null,
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
    clear: () => kept.clear(),
  };
}

const keysOf = (storage: Storage) => Array.from({ length: storage.length }, (_, at) => storage.key(at));
const KIM = `tus::${prefixOf("kim")}|101|workspace|pay.xlsx|false|1|2::7`;
const OLGA = `tus::${prefixOf("olga")}|101|workspace|a|false|1|2::8`;
// As they were called before they had a person.
const FORMER = "tus::zlh|101|workspace|b|false|1|2::9";

it("keeps for the next person nothing of the one before", () => {
  const storage = makeStorage([KIM, "mantine-color-scheme-value", OLGA, FORMER]);
  forgetOthers("kim", storage);
  expect(keysOf(storage)).toEqual([KIM, "mantine-color-scheme-value"]);
});
it("keeps nothing of anybody once nobody is signed in", () => {
  const storage = makeStorage([KIM, "mantine-color-scheme-value", OLGA]);
  forgetOthers(null, storage);
  expect(keysOf(storage)).toEqual(["mantine-color-scheme-value"]);
});
