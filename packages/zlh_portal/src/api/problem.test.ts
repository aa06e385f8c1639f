import { describe, expect, it } from "vitest";
import { parseProblem, splitByField, unreachable } from "./problem";

const problem = (code: string, more: object = {}) => ({
  type: `urn:zlh:error:${code}`, title: "T", status: 422, code, detail: "What happened.", requestId: "r-1", ...more,
});

describe("parseProblem", () => {
  it("keeps code, sentence and request id", () => {
    const error = parseProblem(409, problem("being_deleted"));
    expect(error).toMatchObject({ code: "being_deleted", status: 409, detail: "What happened.", requestId: "r-1" });
  });

  it("puts catalog problems at their fields, with the suggestion", () => {
    const error = parseProblem(422, problem("cannot_install", {
      problems: [{ code: "version_unknown", field: "version", message: "There is no node 99.", suggestion: "24" }],
    }));
    expect(splitByField(error, ["version"])).toEqual({ fields: { version: "There is no node 99. Try 24." }, rest: null });
  });

  it("knows the field of codes that concern one alone", () => {
    expect(parseProblem(409, problem("name_taken")).fields[0]?.field).toBe("name");
  });

  it("finds the field in the path of a refused body", () => {
    const error = parseProblem(400, problem("invalid_body", { detail: "Expected `str` of length <= 63 - at `$.name`." }));
    expect(error.fields[0]?.field).toBe("name");
  });

  it.each([
    ["Expected `str` of length <= 63 - at `$.name`.", "It has 63 characters at most."],
    ["Expected `str` of length >= 1 - at `$.name`.", "It may not be empty."],
    ["Expected `int` >= 128 - at `$.name`.", "It is 128 at least."],
    ["Expected `array` of length <= 32 - at `$.name`.", "There are 32 at most."],
    ["Expected `str`, got `int` - at `$.name`.", "Expected `str`, got `int` - at `$.name`."],
  ])("says the limit of a field in words: %s", (detail, said) => {
    expect(parseProblem(400, problem("invalid_body", { detail })).fields[0]?.message).toBe(said);
  });

  it("shows what fits no field beside the form", () => {
    expect(splitByField(parseProblem(403, problem("no_customer")), ["name"]).rest).toBe("What happened.");
  });

  it.each([null, "oops", [], {}, { code: 7 }])("survives an answer that is no problem: %j", (body) => {
    expect(parseProblem(500, body)).toMatchObject({ code: "not_a_problem", status: 500 });
  });

  it("drops malformed field problems", () => {
    expect(parseProblem(422, problem("cannot_install", { problems: [null, 3, { field: "x" }] })).fields).toEqual([]);
  });
});

describe("unreachable", () => {
  it("has a code of its own", () => {
    expect(unreachable().code).toBe("unreachable");
  });
});
