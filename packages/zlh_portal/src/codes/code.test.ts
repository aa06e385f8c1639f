import { expect, it } from "vitest";
import { parseCode } from "./code";

it.each([["#code=abc_-1", "abc_-1"], ["#a=b&code=x", "x"], ["#code=%20x%20", "x"]])("finds the code in %j", (hash, code) => expect(parseCode(hash)).toBe(code));
it.each(["", "#", "#code=", "#code=%20", "?code=x", `#code=${"x".repeat(201)}`])("finds none in %j", (hash) => expect(parseCode(hash)).toBeNull());
