import { describe, expect, it } from "vitest";
import { findShellWord, joinWords, splitWords } from "./argv";

describe("splitWords", () => {
  it.each<[string, string[]]>([
    ["", []],
    ["  ", []],
    ["node  server.js\t--port 3000", ["node", "server.js", "--port", "3000"]],
    [`sh -c 'echo "a b"; exit 3'`, ["sh", "-c", `echo "a b"; exit 3`]],
    [`a "b \\" \\\\ \\n" c`, ["a", `b " \\ \\n`, "c"]],
    [`a\\ b 'c\\d'`, ["a b", "c\\d"]],
    [`x"y"'z'`, ["xyz"]],
    [`'' a ""`, ["", "a", ""]],
    ["a\nb", ["a", "b"]],
  ])("splits %j", (line, words) => expect(splitWords(line)).toEqual({ words }));
  it.each(["'a", 'a "b', "a\\"])("says what is wrong with %j", (line) => expect(splitWords(line)).toHaveProperty("problem"));
});

it.each([[["node", "a b"]], [["", "'", '"', "\\", "$x", "a'b c\"d\\e", "grün", "\n", "\u0007"]], [["--x=1", "/a/b:c"]]])(
  "joins %j so that it splits into the same", (words) => expect(splitWords(joinWords(words))).toEqual({ words }));

describe("findShellWord", () => {
  it.each<[string[], string]>([[["a", "|", "b"], "|"], [["a", "2>&1"], "2>&1"], [["cd", "x", "&&", "y"], "&&"], [["echo", "$HOME"], "$HOME"], [["~/run"], "~/run"]])(
    "finds it in %j", (words, found) => expect(findShellWord(words)).toBe(found));
  it.each([[["sh", "-c", "a | b"]], [["/bin/bash", "-c", "$X"]], [["java", "-Xmx1G", "a>b"]], [["awk", "$1"]], [[]]])(
    "has nothing to say about %j", (words) => expect(findShellWord(words)).toBeNull());
});
