import { expect, it } from "vitest";
import { every } from "./asking";
import { ApiError } from "./problem";

const after = (error: Error | null, ms = 60_000) => every(ms)({ state: { error, errorUpdateCount: 1 } });
const AWAY = new ApiError("agent_unreachable", 503, "The agent does not answer.");

it("asks as often as is wanted while all is well, and after a refusal", () => expect([after(null), after(new ApiError("not_found", 404, "There is none."))]).toEqual([60_000, 60_000]));
it("asks sooner after a failure that may heal, and never later", () => expect([after(AWAY), after(AWAY, 700)]).toEqual([4_000, 700]));
