import { expect, it } from "vitest";
import { labelCustomers } from "./labels";

const labels = (...customers: [id: string, name: string][]) => labelCustomers(customers.map(([id, name]) => ({ id, name }))).map(({ label }) => label);

it("calls customers by their names", () => expect(labels(["1", "Acme"], ["2", "Zoo"])).toEqual(["Acme", "Zoo"]));
it("tells two of one name apart", () => expect(labels(["0f3a77b1-0000", "Acme"], ["1", "Zoo"], ["9c112233-0000", "Acme"])).toEqual(["Acme (0f3a77b1)", "Zoo", "Acme (9c112233)"]));
it("has no name turn what stands around it", () => expect(labels(["1", "a\u202eb"])[0]).toMatch(/^\u2068.*\u2069$/));
