import { expect, it } from "vitest";
import { parseEvent } from "./stream";

it("takes what names a container", () => expect(parseEvent('{"vmid":101,"name":"a"}')).toMatchObject({ vmid: 101 }));
it.each(["", "nonsense", "null", "[]", "{}", '{"vmid":"101"}'])("drops %j", (data) => expect(parseEvent(data)).toBeNull());
