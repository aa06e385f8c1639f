import { expect, it } from "vitest";
import { parsePort } from "./port";

it("takes a port", () => expect(parsePort(" 3000 ", [])).toEqual({ port: 3000 }));
it.each(["", "0", "65536", "80.5", "-1", "1e3", "web"])("refuses %j", (text) => expect(parsePort(text, [])).toHaveProperty("problem"));
it("says that a port is published already", () => expect(parsePort("3000", [3000])).toEqual({ problem: "Port 3000 is published already." }));
